#!/usr/bin/env bash
# gpu-check.sh VENV [ARGUMENT ...]: the tests that need a GPU, then bench/gpu_check.py with these arguments.
#
# Runs with the Python at hand where that has all that is needed, so that a machine without network can be
# prepared by others; else it installs into VENV, which needs the package registry and g++.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1; shift
python=${PYTHON:-python3}

export PYTHONPATH=$PWD:$PWD/clients:$PWD/server${PYTHONPATH:+:$PYTHONPATH}
missing() {
    "$1" -c 'import importlib.util as util; print(*(name for name in
("msgspec", "numpy", "prometheus_client", "pycuda", "pynvml", "pytest", "rich") if not util.find_spec(name)))'
}

if [ -n "$(missing "$python")" ]; then
    echo "gpu-check: $python lacks $(missing "$python"); installing into $venv" >&2
    make cuda VENV="$venv"
    python=$venv/bin/python
    "$python" -m pip install --quiet pytest
fi
"$python" -m pytest -q -p no:cacheprovider tests/gpu
exec "$python" bench/gpu_check.py "$@"
