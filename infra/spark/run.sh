#!/usr/bin/env bash
# A build on a Spark standalone cluster: starts Beam's Spark job server here, builds through it, stops it.
#
#   infra/spark/run.sh pool                                              on every Spark worker node: our worker pool, on localhost:50000
#   SPARK_MASTER=spark://host:7077 infra/spark/run.sh s3://bucket/music --out s3://bucket/corpus       on a machine near the master
#
# Assumes docker on these machines, the image obbligato:0.1.0, Spark 3 (Beam's job server speaks no other) of the minor version that
# Beam was built with, a private network between them, and the AWS_* variables (or a mounted ~/.aws) for S3 on all of them. Spark's
# executors call the pool on localhost of their node, so a pool runs on each; none of these ports has authentication.
# Written after Beam's documentation; never run on a cluster.
set -euo pipefail
image=${IMAGE:-obbligato:0.1.0}
job_server=apache/beam_spark3_job_server:2.77.0

if [[ ${1:-} == pool ]]; then
    # The host's network: Python workers must reach the executor's own ports on localhost.
    exec docker run --rm --network host --read-only --tmpfs /tmp:rw,size=50g --cap-drop ALL \
        --env AWS_ACCESS_KEY_ID --env AWS_SECRET_ACCESS_KEY --env AWS_ENDPOINT_URL \
        "$image" python -P -m apache_beam.runners.worker.worker_pool_main \
        --service_port=50000 --container_executable=/opt/apache/beam/boot
fi

(($# >= 3)) || { sed -n '2,12p' "$0" >&2; exit 2; }
: "${SPARK_MASTER:?spark://HOST:7077}"
server=$(docker run --detach --rm --network host "$job_server" \
    --spark-master-url="$SPARK_MASTER" --job-host=127.0.0.1 --job-port=8099 --artifact-port=8098 --expansion-port=-1)
trap 'docker stop "$server" >/dev/null' EXIT
for ((tries = 0; tries < 60; tries++)); do
    (exec 3<>/dev/tcp/127.0.0.1/8099) 2>/dev/null && break
    sleep 1
done
obbligato build "$@" --runner PortableRunner --beam job_endpoint=localhost:8099 \
    --beam environment_type=EXTERNAL --beam environment_config=localhost:50000 \
    --beam sdk_worker_parallelism="${SDK_WORKERS:-4}" --beam experiments=disable_logging_submission_environment
