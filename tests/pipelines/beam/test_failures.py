"""What runners have said as they were broken on purpose, and what the reader is told."""

import pytest

from pipelines.beam.failures import WorkersLost, failure
from pipelines.beam.options import engine_of
from pipelines.errors import PipelineError

ENGINE = engine_of(
    1, "PortableRunner", ["job_endpoint=localhost:8099", "environment_config=localhost:50000"]
)
PREFIX = "stage annotate failed: "

# of Flink 1.18 and 1.19, Spark 3.5, Prism and Beam's Python job service 2.77, shortened
FINAL = {
    "org.apache.flink.client.program.ProgramInvocationException: Job failed\n\tat org.apache…\n"
    "Caused by: java.util.concurrent.TimeoutException: Timeout has occurred: 300000 ms": (
        "the cluster had no free slots for it in time: end other jobs, add task managers, or ask "
        "for fewer with --beam parallelism=…; what is finished is kept: run again"
    ),
    "Pipeline obbligato-2_e4a failed in state FAILED: java.io.IOException: Insufficient number of "
    "network buffers: required 512, but only 485 available. The total number of network buffers is "
    "currently set to 2048 of 32768 bytes each. You can increase this number by setting the": (
        "Flink's task managers have too few network buffers for their slots: set "
        "taskmanager.network.sort-shuffle.min-buffers to 64, as infra/flink does, or raise "
        "taskmanager.memory.network.max; what is finished is kept: run again"
    ),
    "…grpc.v1p69p0.io.grpc.StatusRuntimeException: UNAVAILABLE: io exception\n"
    "Caused by: finishConnect(..) failed: Connection refused: localhost/127.0.0.1:50000": (
        "no worker pool answers at localhost:50000 on a machine that was to work: start one on "
        "each, by python -m pipelines.beam.worker_pool; what is finished is kept: run again"
    ),
    "java.lang.IllegalStateException: Only one SparkContext should be running in this JVM "
    "(see SPARK-2243).The currently running SparkContext was created at:\norg.apache.spark…": (
        "another build still runs on the job server at localhost:8099: wait for its end, or end "
        "it on Spark's page and start the job server anew; each build wants a job server of its own"
    ),
    "Pipeline obbligato-0a failed in state FAILED: org.apache.spark.SparkException: Job aborted "
    "due to stage failure: \nAborting TaskSet 0.0 because task 0 (partition 0)\ncannot run "
    "anywhere due to node and executor excludeOnFailure.\nMost recent failure:\nLost task 0.1 in "
    "stage 0.0 (TID 2) (127.0.0.1 executor 0): java.lang.NoSuchMethodError: 'void com.google'\n"
    "\tat com.google…": (
        "a task failed on each machine that it was tried on, at last: Lost task 0.1 in stage 0.0 "
        "(TID 2) (127.0.0.1 executor 0): java.lang.NoSuchMethodError: 'void com.google'; what is "
        "finished is kept: mend that, and run again"
    ),
}
LOST = {
    "Caused by: org.apache.flink.runtime.io.network.netty.exception.RemoteTransportException: "
    "Connection unexpectedly closed by remote task manager 'localhost/127.0.0.1:40001'": (
        "a machine of the cluster has died, or lost its connection; what it has finished is kept"
    ),
    "Caused by: java.util.concurrent.TimeoutException: The heartbeat of TaskManager with id "
    "localhost:42903-ff7c1b timed out.": (
        "a machine of the cluster has died, or lost its connection; what it has finished is kept"
    ),
    "org.apache.spark.SparkException: Job aborted due to stage failure: ExecutorLostFailure": (
        "a machine of the cluster has died, or lost its connection; what it has finished is kept"
    ),
    "org.apache.flink.runtime.messages.FlinkJobNotFoundException: Could not find Flink job "
    "(8c6a73c1b39e43cc86925b717a703f58)\n\tat org.apache.flink.runtime.dispatcher…": (
        "Flink's job manager has started anew and knows nothing of the job; what was finished is "
        "kept"
    ),
    "CANCELLED: client cancelled": (
        "a worker has died, or lost its connection; what it has finished is kept"
    ),
    "Pipeline job-002 failed in state FAILED: bundle inst002 failed:SDK worker disconnected: "
    "worker[job-002[job]_ref_Environment_default_environment_1], 2 active instructions, error: "
    "context canceled": ("a worker has died, or lost its connection; what it has finished is kept"),
    "RuntimeError: Channel closed prematurely.": (
        "a worker has died, or lost its connection; what it has finished is kept"
    ),
}


@pytest.mark.parametrize("words", FINAL)
def test_what_trying_again_does_not_mend_is_one_line_that_says_what_to_do(words: str) -> None:
    told = failure(RuntimeError(words), "stage annotate", ENGINE)
    assert (str(told), type(told)) == (PREFIX + FINAL[words], PipelineError)


@pytest.mark.parametrize("words", LOST)
def test_what_was_lost_with_a_machine_or_a_worker_may_be_submitted_again(words: str) -> None:
    told = failure(RuntimeError(words), "stage annotate", ENGINE)
    assert isinstance(told, WorkersLost)
    assert str(told) == f"{PREFIX}{LOST[words]}: run again"


def test_a_workers_own_error_keeps_its_stage_and_bucket_and_nothing_of_the_trace() -> None:
    words = (
        "java.util.concurrent.ExecutionException: Error received from SDK harness\n"
        "Traceback (most recent call last):\n"
        '  File "common.py", line 1, in process\n'
        "pipelines.errors.PipelineError: stage annotate, bucket train-00001, failed: KeyError: 'C'"
        " [while running 'stage annotate']\n\n\tat org.apache.beam…\n"
        "Caused by: java.lang.RuntimeError: CANCELLED: client cancelled"
    )
    told = failure(RuntimeError(words), "stage annotate", ENGINE)
    assert str(told) == "stage annotate, bucket train-00001, failed: KeyError: 'C'"
    assert not isinstance(told, WorkersLost)


def test_what_the_table_lacks_is_told_by_its_own_last_cause() -> None:
    words = "A: b\n\tat c\nCaused by: java.lang.NoClassDefFoundError: org/apache/Thing"
    told = failure(RuntimeError(words), "stage annotate", ENGINE)
    assert str(told) == f"{PREFIX}java.lang.NoClassDefFoundError: org/apache/Thing"
