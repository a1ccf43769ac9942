"""``python -m gpubench.devices.build_pycuda FOLDER``: PyCUDA's wheel for this Python, without a CUDA toolkit.

Then ``pip install --find-links FOLDER '.[cuda]'`` finds it.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import as_file, files

USAGE = "python -m gpubench.devices.build_pycuda FOLDER"


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.stderr.write(
            f"usage: {USAGE}\nBuilds PyCUDA's wheel into FOLDER; needs g++ and takes 2 minutes.\n"
        )
        return 2
    with as_file(files("gpubench.devices") / "build_pycuda.sh") as script:
        command = ["bash", str(script), sys.executable, sys.argv[1]]
        return subprocess.run(command).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
