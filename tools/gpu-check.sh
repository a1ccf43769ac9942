#!/usr/bin/env bash
# gpu-check.sh VENV [--offline] [ARGUMENT ...]: the tests that need a GPU, then bench/gpu_check.py with these
# arguments, whatever the tests said; ends with an error if either failed.
#
# Runs with the Python at hand ($PYTHON, else python3) where that has all that is needed, so that a machine
# without network can be prepared by others; else it installs into VENV, which needs the package registry and
# g++. With --offline it installs nothing: it prints what is missing and ends with 2.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1; shift
offline=
if [ "${1:-}" = --offline ]; then offline=1; shift; fi
python=${PYTHON:-python3}

export PYTHONPATH=$PWD:$PWD/clients:$PWD/server${PYTHONPATH:+:$PYTHONPATH}
missing() {
    "$1" -c 'import importlib.util as util; print(*(name for name in
("msgspec", "numpy", "platformdirs", "prometheus_client", "pycuda", "pynvml", "pytest", "rich")
if not util.find_spec(name)))'
}

lacks=$(missing "$python")
if [ -n "$lacks" ] && [ -n "$offline" ]; then
    echo "gpu-check: $python lacks $lacks" >&2
    exit 2
elif [ -n "$lacks" ]; then
    echo "gpu-check: $python lacks $lacks; installing into $venv" >&2
    make cuda VENV="$venv"
    python=$venv/bin/python
    "$python" -m pip install --quiet pytest
fi

status=0
# At the limit ^C ends pytest, which then still tells what failed. Plugins that happen to be on the machine, and
# warnings of theirs, are not ours to test.
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 timeout --foreground -s INT -k 10 180 \
    "$python" -m pytest -vv -p no:cacheprovider -o filterwarnings=default --tb=short tests/gpu || status=$?
"$python" bench/gpu_check.py "$@" || status=$?
exit "$status"
