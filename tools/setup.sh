#!/usr/bin/env bash
# setup.sh VENV EXTRAS: make a virtual environment and install gpubench with EXTRAS into it, or say plainly what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 extras=$2

stop() { printf 'setup: %s\n' "$1" >&2; exit 2; }

python=${PYTHON:-}
for candidate in python3 python3.13 python3.12 python3.11; do
    [ -n "$python" ] && break
    "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && python=$candidate
done
[ -n "$python" ] || stop "Python 3.11, 3.12 or 3.13 is needed, found $(python3 --version 2>&1 || true): apt install python3, or set PYTHON="
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "$("$python" --version) has no venv module: apt install python3-venv"
# PoCL is a wheel for x86-64 Linux; elsewhere OpenCL devices come from the system.
if [ "$(uname -sm)" = "Linux x86_64" ]; then
    "$python" gpubench/devices/pocl.py || exit 2
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" ||
    stop "pip could not install gpubench[$extras]; its words are above"
