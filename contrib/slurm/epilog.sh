#!/usr/bin/env bash
# For Slurm's Prolog or Epilog: ends with 1 if the stored verdict of this node is bad, and Slurm itself then drains the
# node. Calls no scontrol, which would wait for the slurmctld that waits for this script; measures nothing.
#
# If the verdict is not known, such as after an overdue check, it ends with 0: jobs must not suffer for that.
set -uo pipefail

reason=$(gpubench check --all-devices --max-age "${GPUBENCH_MAX_AGE:-25h}" --no-run --dialect npd --quiet \
    --data-dir "${GPUBENCH_DATA_DIR:-/var/lib/gpubench-check}")
[ $? -eq 1 ] || exit 0
echo "gpubench: $reason" >&2
exit 1
