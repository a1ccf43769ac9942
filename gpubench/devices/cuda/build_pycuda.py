"""``python -m gpubench.devices.cuda.build_pycuda FOLDER``: PyCUDA's wheel, without a CUDA toolkit.

Then ``pip install --find-links FOLDER '.[cuda]'`` finds it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.resources import as_file, files

from gpubench.standard_streams import with_standard_streams


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gpubench.devices.cuda.build_pycuda",
        description="Build PyCUDA's wheel for this Python, in 3 minutes. Needs g++ and Python's headers.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="where the wheel is put; one that is there is kept")
    folder = parser.parse_args().folder
    with as_file(files(__package__) / "build_pycuda.sh") as script:
        return subprocess.run(["bash", str(script), sys.executable, folder]).returncode  # noqa: S603, S607


if __name__ == "__main__":
    sys.exit(with_standard_streams(main))
