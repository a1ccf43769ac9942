"""``make fuzz-api``: the HTTP API of a server with one run, under requests made from its own description.

``python bench/fuzz_api.py SCHEMATHESIS``: the path of that program, which is not installed with gpubench.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.running import RunningServer, quick


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="gpubench-fuzz-") as scratch,
        RunningServer(Path(scratch)) as server,
    ):
        run_id = server.run_ok(quick())["run_id"]
        root = f"http://{server.http[0]}:{server.http[1]}/api/v1"
        settings = Path(scratch, "schemathesis.toml")
        # Some requests get the run that there is, so that more is tried than how unknown runs are refused.
        settings.write_text(f"[parameters]\nrun_id = {json.dumps(run_id)}\nrun = {json.dumps([run_id])}\n")
        for options in (["--config-file", str(settings)], []):
            code = subprocess.call(
                [sys.argv[1], *options, "run", f"{root}/openapi.json", "--max-examples", "100"]
            )
            if code:
                return code
        faults = [line for line in server.log if "ERROR" in line or "Traceback" in line]
        print("\n".join(faults))
        return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
