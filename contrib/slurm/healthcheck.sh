#!/usr/bin/env bash
# Slurm's HealthCheckProgram: drains this node, with the reason, if its stored verdict is bad. Measures nothing, so it
# ends within Slurm's 60 s. In slurm.conf:
#   HealthCheckProgram=/opt/gpubench/contrib/slurm/healthcheck.sh
#   HealthCheckInterval=600
#   HealthCheckNodeState=IDLE,CYCLE
#
# Set GPUBENCH_BASELINE to a file that `gpubench baseline learn` wrote, here and in check.sbatch.
#
# A node whose check is overdue, or not decided, is not drained unless GPUBENCH_DRAIN_UNKNOWN=1. A node is never
# resumed here: that is for whoever repaired it. Not for prolog or epilog, which must not call scontrol: see epilog.sh.
set -uo pipefail

reason=$(gpubench check --all-devices --max-age "${GPUBENCH_MAX_AGE:-25h}" --no-run --dialect npd --quiet \
    --data-dir "${GPUBENCH_DATA_DIR:-/var/lib/gpubench-check}")
verdict=$?
case $verdict in
    0) exit 0 ;;
    1) ;;
    *) [ "${GPUBENCH_DRAIN_UNKNOWN:-0}" = 1 ] || exit 0 ;;
esac
node=${SLURMD_NODENAME:-$(hostname -s)}
echo "gpubench: draining $node: $reason"
scontrol update "NodeName=$node" State=DRAIN "Reason=gpubench: ${reason:-no answer, exit code $verdict}"
exit 1
