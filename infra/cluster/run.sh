#!/usr/bin/env bash
# A whole engine on this machine, in a network namespace of its own, and one command that builds through it.
#
#   infra/cluster/run.sh flink obbligato build ~/music --out ~/corpus    a job manager, two task managers
#   infra/cluster/run.sh spark obbligato build ~/music --out ~/corpus    a master, two workers
#   infra/cluster/run.sh prism obbligato build ~/music --out ~/corpus    Beam's Prism, one process
#
# With each comes Beam's job server and one worker pool of ours; the command gets --runner and --beam options appended. All of it ends
# with the command, or with Ctrl-C. Nothing can be reached from outside the namespace, nor can anything inside reach the network: Beam's
# Java job server and Prism listen on every interface whatever they are told.
#
# Assumes Linux, `unshare` and `ip`, obbligato in the active environment or in .venv, Java 11 or 17 for Flink and Spark, and
#   flink   FLINK_HOME, or nothing: PyPI's apache-flink-libraries is installed into CLUSTER_HOME (~/.cache/obbligato/cluster)
#   spark   SPARK_HOME, or nothing: PyPI's pyspark likewise
#   both    FLINK_JOB_SERVER_JAR, SPARK_JOB_SERVER_JAR, or Maven: org.apache.beam:beam-runners-flink-1.20-job-server, …-spark-3-job-server
#   prism   prism on PATH: go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0
# SLOTS (2) are tasks of a task manager or cores of a Spark worker; LOGS is where servers write (a temporary folder).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/versions.env"
[[ ${1:-} =~ ^(flink|spark|prism)$ ]] && (($# >= 2)) || { sed -n '2,17p' "$0" >&2; exit 2; }
engine=$1
cluster_home=${CLUSTER_HOME:-$HOME/.cache/obbligato/cluster} slots=${SLOTS:-2}
export PYTHONSAFEPATH=1 # for all that is started below: no module is taken from the working folder
command -v obbligato >/dev/null || PATH="$here/../../.venv/bin:$PATH"

fail() { echo "$0: $*" >&2; exit 1; }

package() { # a distribution from PyPI, unpacked once; prints the folder of its module
    local home=$cluster_home/$1-$2
    [[ -d $home/$3 ]] || python -m pip install --quiet --no-deps --target "$home" "$1==$2" >&2 || fail "$1 $2 could not be installed"
    echo "$home/$3"
}

job_server_jar() {
    local jar=$cluster_home/$1-$BEAM_VERSION.jar
    [[ -f $jar ]] || mvn --quiet --batch-mode dependency:copy -Dartifact="org.apache.beam:$1:$BEAM_VERSION" \
        -DoutputDirectory="$cluster_home" >&2 || fail "$1 $BEAM_VERSION could not be had from Maven; name a file by FLINK_JOB_SERVER_JAR or SPARK_JOB_SERVER_JAR"
    echo "$jar"
}

# What is fetched is fetched here, before there is no network any more.
if [[ -z ${OBBLIGATO_NAMESPACE:-} ]]; then
    case $engine in
        flink)
            export FLINK_HOME=${FLINK_HOME:-$(package apache-flink-libraries "$FLINK_VERSION" pyflink)}
            export FLINK_JOB_SERVER_JAR=${FLINK_JOB_SERVER_JAR:-$(job_server_jar "beam-runners-flink-${FLINK_VERSION%.*}-job-server")} ;;
        spark)
            export SPARK_HOME=${SPARK_HOME:-$(package pyspark "$SPARK_VERSION" pyspark)}
            export SPARK_JOB_SERVER_JAR=${SPARK_JOB_SERVER_JAR:-$(job_server_jar beam-runners-spark-3-job-server)} ;;
        prism) command -v prism >/dev/null || fail "prism is not on PATH; see the head of this file" ;;
    esac
    mapped=()
    ((EUID == 0)) || mapped=(--map-root-user)
    OBBLIGATO_NAMESPACE=1 exec unshare "${mapped[@]}" --net -- "${BASH_SOURCE[0]}" "$@"
fi
ip link set lo up

logs=${LOGS:-$(mktemp -d)}
mkdir -p "$logs"
pids=()
stop() { # each server leads a group of its own, with all that it has started
    for pid in "${pids[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
    for ((tries = 0; tries < 50; tries++)); do
        pgrep -g "$(IFS=,; echo "${pids[*]}")" >/dev/null || break
        sleep 0.2
    done
    for pid in "${pids[@]}"; do kill -KILL -- "-$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'exit 130' INT TERM

start() { # NAME COMMAND…
    local name=$1
    shift
    setsid "$@" >"$logs/$name.log" 2>&1 </dev/null &
    pids+=($!)
}

keep() { # NAME COMMAND…: started again whenever it ends
    # shellcheck disable=SC2016  # expanded by the inner shell
    start "$1" bash -c 'while :; do "$@"; sleep 2; done' keep "${@:2}"
}

await() { # PORT NAME: until it listens
    for ((tries = 0; tries < 240; tries++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        kill -0 "${pids[@]}" 2>/dev/null || { tail -n 5 "$logs"/*.log >&2; fail "$2 has ended; its logs are in $logs"; }
        sleep 0.5
    done
    fail "$2 does not listen on port $1 after two minutes; its logs are in $logs"
}

registered() { # URL KEY COUNT NAME: until so many workers have come to a master, which says how many in JSON
    local ask='import json,sys,urllib.request as r; n=json.load(r.urlopen(sys.argv[1]))[sys.argv[2]]; sys.exit(n < int(sys.argv[3]))'
    for ((tries = 0; tries < 240; tries++)); do
        python -c "$ask" "$1" "$2" "$3" 2>/dev/null && return
        kill -0 "${pids[@]}" 2>/dev/null || { tail -n 5 "$logs"/*.log >&2; fail "$4 have ended; their logs are in $logs"; }
        sleep 0.5
    done
    fail "$4 have not come after two minutes; their logs are in $logs"
}

java_server() { # MAIN CLASSPATH ARGUMENTS…
    local main=$1 classpath=$2
    shift 2
    # Java 17 keeps its own insides to itself; Flink and Spark look into them
    start job-server java -Xmx512m "${opened[@]}" "${java_options[@]}" -cp "$classpath" "org.apache.beam.runners.$main" "$@" \
        --job-host=127.0.0.1 --job-port=8099 --artifact-port=8098 --expansion-port=-1
}
opened=() java_options=()
for package in java.base/{java.lang,java.lang.invoke,java.lang.reflect,java.io,java.net,java.nio,java.text,java.time,java.util,java.util.concurrent,java.util.concurrent.atomic,java.util.concurrent.locks,sun.nio.ch,sun.nio.cs,sun.security.action,sun.util.calendar}; do
    opened+=("--add-opens=$package=ALL-UNNAMED")
done

start_flink() {
    # PyPI's distribution has Flink's jars and none of its scripts
    local java=(java -Xmx512m "${opened[@]}" "-Dlog4j.configurationFile=$here/log4j.properties" -cp "$FLINK_HOME/lib/*")
    sed -e "s/SLOTS/$slots/; s/PARALLELISM/$((2 * slots))/" "$here/flink.yaml" >"$logs/flink-conf.yaml"
    keep jobmanager "${java[@]}" org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir "$logs"
    await 8081 "Flink's job manager"
    for number in 1 2; do
        keep "taskmanager-$number" "${java[@]}" org.apache.flink.runtime.taskexecutor.TaskManagerRunner --configDir "$logs"
    done
    registered http://127.0.0.1:8081/overview taskmanagers 2 "Flink's task managers"
    java_server flink.FlinkJobServerDriver "$FLINK_JOB_SERVER_JAR" --flink-master=localhost:8081 --artifacts-dir="$logs/artifacts"
    options+=(--beam flink_master=localhost:8081)
}

start_spark() {
    # What an application left in a worker's folder, the job server's jar among it, goes after ten minutes
    export SPARK_NO_DAEMONIZE=1 SPARK_LOCAL_IP=127.0.0.1 \
        SPARK_WORKER_OPTS="-Dspark.worker.cleanup.enabled=true -Dspark.worker.cleanup.interval=600 -Dspark.worker.cleanup.appDataTtl=600"
    local spark=("$SPARK_HOME/bin/spark-class" org.apache.spark.deploy)
    keep master "${spark[0]}" "${spark[1]}.master.Master" --host 127.0.0.1 --port 7077 --webui-port 8080
    await 7077 "Spark's master"
    for number in 1 2; do
        keep "worker-$number" "${spark[0]}" "${spark[1]}.worker.Worker" --host 127.0.0.1 --webui-port "808$number" --work-dir "$logs/work-$number" \
            --cores "$slots" --memory 1g spark://127.0.0.1:7077
    done
    registered http://127.0.0.1:8080/json aliveworkers 2 "Spark's workers"
    # Without, the runner counts cores before executors have come, and makes two tasks a stage
    java_options+=("-Dspark.default.parallelism=$((2 * slots))" -Dspark.executor.memory=768m -Dspark.driver.host=127.0.0.1
        -Dspark.excludeOnFailure.enabled=true -Dspark.excludeOnFailure.task.maxTaskAttemptsPerExecutor=2
        -Dspark.excludeOnFailure.task.maxTaskAttemptsPerNode=3) # both workers are on one node
    java_server spark.SparkJobServerDriver "$SPARK_JOB_SERVER_JAR:$SPARK_HOME/jars/*" --spark-master-url=spark://127.0.0.1:7077 \
        --artifacts-dir="$logs/artifacts"
    options+=(--beam "sdk_worker_parallelism=$slots")
}

start_prism() {
    start job-server prism -job_port 8099 -web_port 8074 -idle_shutdown_timeout -1ns
}

options=(--runner PortableRunner --beam job_endpoint=localhost:8099 --beam environment_type=EXTERNAL
    --beam environment_config=localhost:50000 --beam environment_cache_millis=60000 --beam experiments=disable_logging_submission_environment)
keep pool python -m pipelines.beam.worker_pool --port 50000
"start_$engine"
await 50000 "the worker pool"
await 8099 "Beam's job server"
"${@:2}" "${options[@]}"
