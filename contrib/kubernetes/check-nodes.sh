#!/usr/bin/env bash
# Measures GPU nodes that are free and due, and labels them:
#   gpubench.io/check       ok, bad or unknown
#   gpubench.io/checked-at  Unix time of that result
# and annotates each with gpubench.io/reason. At most MAX_NODES in one call, the longest unchecked first.
set -euo pipefail

max_nodes=${MAX_NODES:-2} max_age_hours=${MAX_AGE_HOURS:-24} namespace=${NAMESPACE:-gpubench}
folder=$(cd "$(dirname "$0")" && pwd)
now=$(date +%s)

# Nodes on which a pod that is not finished asks for a GPU.
taken=$(kubectl get pods --all-namespaces --field-selector=status.phase!=Succeeded,status.phase!=Failed \
    -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\t"}{.spec.containers[*].resources.limits.nvidia\.com/gpu}{"\n"}{end}' |
    awk -F '\t' '$2 != "" { print $1 }' | sort -u)

# Name, GPUs and last check of each schedulable GPU node that is free and due, the longest unchecked first.
due=$(kubectl get nodes -l nvidia.com/gpu.present=true --field-selector=spec.unschedulable!=true \
    -o 'jsonpath={range .items[*]}{.metadata.name}{"\t"}{.status.allocatable.nvidia\.com/gpu}{"\t"}{.metadata.labels.gpubench\.io/checked-at}{"\n"}{end}' |
    awk -F '\t' -v OFS='\t' -v taken="$taken" -v before=$((now - max_age_hours * 3600)) '
        BEGIN { split(taken, names, "\n"); for (i in names) busy[names[i]] = 1 }
        $1 != "" && !($1 in busy) && $2 + 0 > 0 && $3 + 0 <= before { print $3 + 0, $1, $2 }' |
    sort -n | head -n "$max_nodes")

while IFS=$'\t' read -r _ node gpus; do
    [ -n "$node" ] || continue
    job=gpubench-check-$node
    kubectl delete job "$job" -n "$namespace" --ignore-not-found --wait=true >&2
    sed "s/NODE/$node/g; s/GPUS/$gpus/g" "$folder/job.yaml" | kubectl create -f - >&2
    # Until the job succeeded or failed; one that is never scheduled ends by its own deadline.
    until=$((SECONDS + 1900))
    until [ -n "$(kubectl get job "$job" -n "$namespace" -o 'jsonpath={.status.succeeded}{.status.failed}')" ]; do
        [ "$SECONDS" -lt "$until" ] || break
        sleep "${POLL_SECONDS:-10}"
    done
    read -r code reason < <(kubectl get pods -n "$namespace" -l "job-name=$job" \
        -o 'jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}{" "}{.items[0].status.containerStatuses[0].state.terminated.message}{"\n"}' |
        head -n 1) || true
    case ${code:-} in
        0) result=ok ;;
        1) result=bad ;;
        *) result=unknown ;;
    esac
    kubectl label node "$node" --overwrite "gpubench.io/check=$result" "gpubench.io/checked-at=$(date +%s)" >&2
    kubectl annotate node "$node" --overwrite "gpubench.io/reason=${reason:-no result}" >&2
    echo "$node $result ${reason:-no result}"
done <<<"$due"
