#!/usr/bin/env bash
# Beam's portable path with Python alone (no Java, no container): a job service and a worker pool on this machine, 127.0.0.1 only.
#
#   infra/portable/run.sh obbligato build ~/music --out ~/corpus        starts both, builds through them, stops both
#   infra/portable/run.sh                                               starts both and says what to pass; Ctrl-C ends them
#
# This is for trying what a cluster does: every worker is a process of its own that gets its work over gRPC. For a plain machine
# `obbligato build --workers N` is faster. Assumes obbligato in the active environment or in .venv. JOB_PORT and POOL_PORT can be set.
set -euo pipefail
export PYTHONSAFEPATH=1 # for all that is started below: no module is taken from the working folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v obbligato >/dev/null || PATH="$here/../../.venv/bin:$PATH"
job_port=${JOB_PORT:-8099} pool_port=${POOL_PORT:-50000}
logs=$(mktemp -d)
pids=()
stop() {
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 130' INT TERM

python "$here/loopback.py" apache_beam.runners.portability.local_job_service_main --port "$job_port" >"$logs/job-service" 2>&1 &
pids+=($!)
python -m pipelines.beam.worker_pool --port "$pool_port" >"$logs/worker-pool" 2>&1 &
pids+=($!)

open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for port in "$job_port" "$pool_port"; do
    for ((tries = 0; tries < 120; tries++)); do
        open "$port" && break
        kill -0 "${pids[@]}" 2>/dev/null || { cat "$logs"/* >&2; exit 1; }
        sleep 0.25
    done
    open "$port" || { echo "nothing listens on port $port; logs in $logs" >&2; exit 1; }
done

options=(--runner PortableRunner --beam "job_endpoint=localhost:$job_port"
    --beam environment_type=EXTERNAL --beam "environment_config=localhost:$pool_port")
if (($#)); then
    "$@" "${options[@]}"
else
    echo "listening; append to obbligato build: ${options[*]}"
    echo "logs: $logs"
    wait
fi
