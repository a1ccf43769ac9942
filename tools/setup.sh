#!/usr/bin/env bash
# setup.sh VENV EXTRAS: a virtual environment in which this checkout is installed with EXTRAS, or what is missing for one.
#
# Quick if it is there already. One that was interrupted, or whose checkout was moved since, is made anew; two set-ups
# at once wait for each other.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 extras=$2

stop() { printf 'setup: %s\n' "$1" >&2; exit 2; }
say() { printf 'setup: %s\n' "$1" >&2; }
works() { "$venv/bin/python" -P -c "import pip${1:-}" 2>/dev/null; }
wanted_python() { [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$("$venv/bin/python" -V 2>&1)" ]; }

if command -v flock >/dev/null; then
    exec 9<pyproject.toml
    flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }
fi

# Three lines: who made the environment, for which checkout, and which extras are in it (none: it was not finished).
record=$venv/.gpubench-setup
{ read -r maker; read -r place; read -r present; } 2>/dev/null <"$record" || true
maker=${maker:-} place=${place:-} present=${present:-}
here="$PWD $(cksum <pyproject.toml)"
all=$present
for extra in ${extras//,/ }; do [[ ,$all, == *,$extra,* ]] || all+=${all:+,}$extra; done
if [ "$place" = "$here" ] && works ', gpubench' && wanted_python; then
    [ "$all" != "$present" ] || exit 0
fi

python=${PYTHON:-}
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    [ -n "$python" ] && break
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$candidate
done
[ -n "$python" ] || stop "Python 3.11 or newer is needed, found: $(python3 --version 2>&1 || true)
  Install one beside it (on Ubuntu 22.04: apt install python3.11-venv python3.11-dev), or name one: make PYTHON=/path/to/python3"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))') ||
    stop "PYTHON=$python is ${version:-no Python}; 3.11 or newer is needed"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "Python $version cannot make virtual environments; on Debian and Ubuntu: apt install python$version-venv"
"$python" gpubench/devices/opencl/pocl.py || exit 2

if [ "$maker" != setup ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
    # Somebody else's: it is used, and never cleared.
    works || stop "$venv has no working pip: remove it, or name another folder with make VENV="
    wanted_python || stop "$venv has another Python than PYTHON=$PYTHON; name another folder with make VENV="
    maker=user
elif [ -z "$present" ] || [ "${place% * *}" != "$PWD" ] || ! works || ! wanted_python; then
    say "making $venv with Python $version"
    maker=setup
    mkdir -p "$venv"
    echo "$maker" >"$record"
    find -H "$venv" -mindepth 1 -maxdepth 1 ! -name .gpubench-setup ! -name wheels -exec rm -rf {} +
    "$python" -m venv "$venv"
    all=$extras
fi
extras=$all
case $extras in *test*) size="400 MB" ;; *) size="80 MB" ;; esac
echo "$maker" >"$record"  # not finished, until the other lines stand below
say "installing gpubench with $extras; the first time this downloads about $size"
if [ -t 2 ]; then quiet=; else quiet=--quiet; fi
"$venv/bin/python" -m pip install $quiet --disable-pip-version-check --editable ".[$extras]" ||
    stop "pip could not install gpubench with $extras; its messages are above"
printf '%s\n' "$maker" "$here" "$extras" >"$record"
