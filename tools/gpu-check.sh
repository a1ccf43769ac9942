#!/usr/bin/env bash
# gpu-check.sh VENV [--offline] [ARGUMENT ...]: bench/gpu_check.py with these arguments; with --plan it prints
# what that would do, with times, and needs no GPU.
#
# Runs with the Python at hand ($PYTHON, else python3) if that has all that is needed, so that a machine
# without network can be prepared by others; else it installs into VENV, which needs the package registry and
# g++. With --offline it installs nothing: it prints what is missing and ends with 2.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1; shift
offline=
if [ "${1:-}" = --offline ]; then offline=1; shift; fi
python=${PYTHON:-python3}

export PYTHONPATH=$PWD:$PWD/clients:$PWD/server${PYTHONPATH:+:$PYTHONPATH}
needed="msgspec numpy platformdirs prometheus_client pycuda pynvml pytest rich"
case " $* " in
*" --plan "*)
    needed="msgspec numpy platformdirs"
    if [ -x "$venv/bin/python" ]; then python=$venv/bin/python; fi ;;
esac
missing() {
    "$1" -c 'import importlib.util as util, sys; print(*(name for name in sys.argv[1:]
if not util.find_spec(name)))' $needed
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

exec "$python" bench/gpu_check.py "$@"
