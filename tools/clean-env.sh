#!/usr/bin/env bash
# clean-env.sh COMMAND ...: run it in an environment of a few usual variables, so that no test depends on the tester's.
#
# Kept besides HOME, PATH and the like: how package registries are reached, which tests that build PyCUDA need.
set -euo pipefail
kept=()
while IFS= read -r -d '' variable; do
    case ${variable%%=*} in
        HOME | USER | PATH | TMPDIR | TERM | CI | PIP_* | SSL_CERT_* | *_proxy | *_PROXY) kept+=("$variable") ;;
    esac
done < <(env -0)
exec env -i LANG=C.UTF-8 "${kept[@]}" "$@"
