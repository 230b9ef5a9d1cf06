#!/usr/bin/env bash
# A build on a Spark standalone cluster: starts Beam's Spark job server here, builds through it, stops it.
#
#   infra/spark/run.sh pool                                              on every Spark worker node: our worker pool, on localhost:50000
#   SPARK_MASTER=spark://host:7077 infra/spark/run.sh s3://bucket/music --out s3://bucket/corpus       on a machine near the master
#
# SPARK_PAGE (http://HOST:8080) is the master's page, which says how many cores there are; CORES says it instead. EXECUTOR_MEMORY (1g)
# and SDK_WORKERS (4, Python workers of a node) can be set. Each application leaves the job server's jar in its workers' folders: start
# them with SPARK_WORKER_OPTS="-Dspark.worker.cleanup.enabled=true -Dspark.worker.cleanup.appDataTtl=3600".
#
# Beam's job server listens on every interface, whatever --job-host says: keep its machine behind a rule, or try infra/cluster/run.sh,
# which has a network namespace of its own.
#
# Assumes docker on these machines, the image obbligato:0.1.0, Spark 3 (Beam's job server speaks no other) of the minor version that
# Beam was built with, a private network between them, and the AWS_* variables (or a mounted ~/.aws) for S3 on all of them. Spark's
# executors call the pool on localhost of their node, so a pool runs on each; none of these ports has authentication.
# infra/cluster/run.sh starts the same on one machine, where it was run for real; this script, with its containers, was not.
set -euo pipefail
image=${IMAGE:-obbligato:0.1.0}
job_server=apache/beam_spark3_job_server:2.77.0

# Whoever asks for workers reaches them on localhost, so the pool has the host's network; one that dies is started again.
if [[ ${1:-} == pool ]]; then
    trap 'exit 130' INT TERM
    while :; do
        docker run --rm --network host --read-only --tmpfs /tmp:rw,size=50g --cap-drop ALL \
            --env AWS_ACCESS_KEY_ID --env AWS_SECRET_ACCESS_KEY --env AWS_ENDPOINT_URL \
            "$image" python -P -m pipelines.beam.worker_pool --port=50000 --boot=/opt/apache/beam/boot || true
        sleep 2
    done
fi

(($# >= 3)) || { sed -n '2,18p' "$0" >&2; exit 2; }
: "${SPARK_MASTER:?spark://HOST:7077}"
host=${SPARK_MASTER#spark://}
page=${SPARK_PAGE:-http://${host%%:*}:8080}
# Told nothing, the runner counts cores before executors have come, and makes two tasks of each step however large the cluster is.
cores=${CORES:-$(python3 -c 'import json, sys, urllib.request; print(json.load(urllib.request.urlopen(sys.argv[1]))["cores"])' "$page/json")} ||
    { echo "$0: the master's page $page does not answer; name it by SPARK_PAGE, or the cluster's cores by CORES" >&2; exit 1; }
# A job server runs one build: each has its own, on ports that nobody else has.
read -r job_port artifact_port < <(python3 -c 'import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in "ab"]
print(*(one.getsockname()[1] for one in both))')
server=$(docker run --detach --network host \
    --env JAVA_TOOL_OPTIONS="-Dspark.default.parallelism=$cores -Dspark.executor.memory=${EXECUTOR_MEMORY:-1g} -Dspark.excludeOnFailure.enabled=true -Dspark.excludeOnFailure.task.maxTaskAttemptsPerExecutor=2 -Dspark.excludeOnFailure.task.maxTaskAttemptsPerNode=3" \
    "$job_server" --spark-master-url="$SPARK_MASTER" --job-host=127.0.0.1 --job-port="$job_port" --artifact-port="$artifact_port" --expansion-port=-1)
trap 'docker rm --force "$server" >/dev/null' EXIT
for ((tries = 0; tries < 60; tries++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$job_port") 2>/dev/null && break
    [[ $(docker inspect --format '{{.State.Running}}' "$server") == true ]] || { docker logs --tail 5 "$server" >&2; exit 1; }
    sleep 1
done
obbligato build "$@" --runner PortableRunner --beam job_endpoint="localhost:$job_port" \
    --beam environment_type=EXTERNAL --beam environment_config=localhost:50000 --beam environment_cache_millis=60000 \
    --beam sdk_worker_parallelism="${SDK_WORKERS:-4}" --beam experiments=disable_logging_submission_environment
