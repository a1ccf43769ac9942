#!/usr/bin/env bash
# build_pycuda.sh PYTHON FOLDER
#
# Builds PyCUDA's wheel for PYTHON into FOLDER, for machines that have NVIDIA's driver or none, and no CUDA toolkit.
# PyCUDA comes as source only, and building it asks for two headers and a libcuda to link against. The headers are in
# two small wheels; the library is a stand-in that has the driver's names and nothing behind them.
#
# Needs g++, Python.h and the package registry; 3 minutes on one core. A wheel that is already there is kept.
set -euo pipefail

PYCUDA=2026.1
# Of CUDA 12.4, so that the wheel asks for no name that drivers before R570 lack; newer drivers keep the old names.
HEADERS=12.4.127

[ $# -eq 2 ] || { sed -n 's/^# \{0,1\}//; 2,8p' "$0" >&2; exit 2; }
python=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
if compgen -G "$folder/pycuda-$PYCUDA-$tag-*.whl" >/dev/null; then exit 0; fi
command -v g++ >/dev/null || { echo "build_pycuda: no g++; on Debian and Ubuntu: apt install build-essential" >&2; exit 1; }

"$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || {
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "build_pycuda: Python $version lacks Python.h; on Debian and Ubuntu: apt install python$version-dev" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download -q --no-deps --only-binary=:all: -d "$work" \
    "nvidia-cuda-runtime-cu12==$HEADERS" "nvidia-cuda-profiler-api-cu12==$HEADERS"
for wheel in "$work"/*.whl; do "$python" -m zipfile -e "$wheel" "$work"; done
mkdir "$work/include" "$work/lib" "$work/built"
cp -r "$work"/nvidia/*/include/. "$work/include"

# Old and new names of every function that the header declares: __CUDA_API_VERSION_INTERNAL shows the old ones.
for define in UNUSED __CUDA_API_VERSION_INTERNAL; do
    printf '#define %s\n#include <cuda.h>\n#include <cudaProfiler.h>\n' "$define" | g++ -E -x c++ -I "$work/include" -
done | grep -oE '\bcu[A-Z][A-Za-z0-9_]* *\(' | tr -d ' (' | sort -u | sed 's/.*/int &(void) { return 100; }/' >"$work/names.c"
gcc -w -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$work/lib/libcuda.so" "$work/names.c"

# PyCUDA's setup takes its settings from this file in the home directory and from no environment variable.
cat >"$work/.aksetup-defaults.py" <<SETTINGS
CUDA_ROOT = "$work"
CUDA_INC_DIR = ["$work/include"]
CUDADRV_LIB_DIR = ["$work/lib"]
CUDA_ENABLE_CURAND = False
CXXFLAGS = ["-g0", "-w"]
LDFLAGS = ["-Wl,--strip-all"]
SETTINGS
# Only that file is looked for in another home: pip's settings, such as a mirror, and credentials stay the user's.
export XDG_CONFIG_HOME=${XDG_CONFIG_HOME:-$HOME/.config} NETRC=${NETRC:-$HOME/.netrc}
if [ -d "$HOME/.pip" ]; then ln -s "$HOME/.pip" "$work/.pip"; fi

# Moved in whole at the end: an interrupted build leaves no wheel behind.
HOME="$work" "$python" -m pip wheel -q --no-cache-dir --no-deps --no-binary pycuda -w "$work/built" "pycuda==$PYCUDA"
mv "$work/built"/*.whl "$folder"
