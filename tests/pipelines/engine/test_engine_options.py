"""What is refused before anything is submitted, and what is not."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from pipelines.beam import dataflow
from pipelines.beam.failures import first_cause
from pipelines.beam.options import Engine, check_engine, engine_of
from pipelines.beam.run import arguments
from pipelines.errors import PipelineError

IMAGE = f"europe-docker.pkg.dev/project/our/obbligato@sha256:{'0a' * 32}"
DATAFLOW = (
    "project=project",
    "region=europe-west4",
    "temp_location=gs://bucket/temp",
    f"sdk_container_image={IMAGE}",
)
UNKNOWN = (
    "is unknown: expected local, FlinkRunner, SparkRunner, DataflowRunner, PortableRunner, "
    "PrismRunner, or a class by its dotted path"
)


def refusal(runner: str, *options: str, out: str = "/corpus", workers: int = 1) -> str:
    with pytest.raises(PipelineError) as refused:
        check_engine(engine_of(workers, runner, options), out)
    return str(refused.value)


def accept(runner: str, *options: str, out: str = "/corpus", workers: int = 1) -> None:
    check_engine(engine_of(workers, runner, options), out)


class JobServer(beam_job_api_pb2_grpc.JobServiceServicer):  # type: ignore[misc]
    def DescribePipelineOptions(self, request: object, context: object) -> object:  # noqa: N802
        described = beam_job_api_pb2.PipelineOptionDescriptor(name="watermark_idle")
        return beam_job_api_pb2.DescribePipelineOptionsResponse(options=[described])


@pytest.fixture
def job_server() -> Iterator[str]:
    """Address of a job server that has one option of its own."""
    server = grpc.server(ThreadPoolExecutor(1))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(JobServer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address of this host at which nothing listens, and nothing else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    "runner", ["DaskRunner", "dask", "apache_beam.runners.dask.dask_runner.DaskRunner"]
)
def test_dask_is_refused_with_the_reason_and_the_way_out(runner: str) -> None:
    assert refusal(runner) == (
        "Beam's Dask runner reports success with data missing (side outputs, what finish_bundle "
        "emits, all but the last branch); use slices instead: --slices N --dask ADDRESS"
    )


@pytest.mark.parametrize("runner", ["spark", "flinkrunner", "DirectRunner", ""])
def test_an_unknown_runner_is_told_the_known_ones(runner: str) -> None:
    assert refusal(runner) == f"runner {runner} {UNKNOWN}"


def test_a_runner_may_be_named_by_its_dotted_path() -> None:
    accept("company.runners.OurRunner")
    assert refusal("OurRunner") == f"runner OurRunner {UNKNOWN}"
    assert (
        refusal("company.runners.OurRunner", "colour=red")
        == "--beam colour is not an option of Beam, nor of runner company.runners.OurRunner; "
        "nothing was submitted"
    )


def test_options_become_beams_own() -> None:
    engine = engine_of(1, "FnApiRunner", ["direct_runner_bundle_repeat=2", "--save_main_session"])
    assert arguments(engine) == [
        "--runner=FnApiRunner", "--direct_runner_bundle_repeat=2", "--save_main_session",
        "--direct_running_mode=in_memory", "--direct_num_workers=1",
    ]  # fmt: skip
    accept("FnApiRunner", "direct_runner_bundle_repeat=2")
    assert "direct_runner_bundle_repeats is not an option" in refusal(
        "FnApiRunner", "direct_runner_bundle_repeats=2"
    )


def test_the_local_engine_is_not_beam_and_takes_none_of_its_options() -> None:
    accept("local", workers=2)
    message = (
        "--beam direct_runner_bundle_repeat is an option of Beam, which runner local does "
        "without: name the runner it is for"
    )
    assert refusal("local", "direct_runner_bundle_repeat=2") == message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("colour=red", ""),
        ("colour", ""),
        ("direct_runner_bundle=2", " (did you mean direct_runner_bundle_repeat?)"),
        ("flink-master=a:1", " (did you mean flink_master?)"),
    ],
)
def test_an_option_that_nobody_knows_is_named_and_what_may_be_meant(
    written: str, meant: str
) -> None:
    name = written.partition("=")[0]
    assert refusal("local", written) == (
        f"--beam {name} is not an option of Beam, nor of runner local{meant}; nothing was submitted"
    )


def test_the_unknown_option_is_named_among_known_ones() -> None:
    message = refusal("FlinkRunner", "flink_master=a:1", "colour=red", "parallelism=2")
    assert (
        message == "--beam colour is not an option of Beam, nor of runner FlinkRunner; "
        "nothing was submitted"
    )


def test_a_value_that_does_not_fit_is_shown() -> None:
    message = refusal("local", "direct_runner_bundle_repeat=two")
    assert message == "--beam direct_runner_bundle_repeat: invalid int value: 'two'"


def test_a_choice_that_there_is_not_is_told_the_choices() -> None:
    assert "invalid choice: '1.2' (choose from" in refusal(
        "FlinkRunner", "flink_master=a:1", "flink_version=1.2"
    )


def test_an_option_that_wants_a_value_does_not_go_without() -> None:
    assert refusal("PortableRunner", "job_endpoint") == "--beam job_endpoint: expected one argument"


@pytest.mark.parametrize("name", ["s3_secret_access_key", "s3_session_token", "s3_access_key_id"])
def test_secrets_are_refused_and_not_repeated(name: str) -> None:
    assert (
        refusal("local", f"{name}=HUSH")
        == f"--beam {name} would be stored with the run; secrets come from the environment only"
    )


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's clients are installed, as far as anybody looks."""
    monkeypatch.setattr(dataflow, "_clients_are_here", lambda: True)


@pytest.mark.usefixtures("google")
def test_flags_go_without_a_value() -> None:
    for flag in ("no_use_public_ips", "--no_use_public_ips"):
        accept("DataflowRunner", *DATAFLOW, flag, out="gs://b/corpus")
        given = arguments(engine_of(1, "DataflowRunner", (*DATAFLOW, flag)))
        assert given.count("--no_use_public_ips") == 1
    message = refusal("DataflowRunner", *DATAFLOW, "no_use_public_ips=yes", out="gs://b/corpus")
    assert message == "--beam no_use_public_ips: ignored explicit argument 'yes'"


@pytest.mark.parametrize(
    "option",
    [
        "runner=FlinkRunner",
        "direct_num_workers=4",
        "direct-num-workers=4",
        "direct_running_mode=in_memory",
    ],
)
def test_options_that_ours_stand_for_contradict_them(option: str) -> None:
    name = option.partition("=")[0].replace("-", "_")
    assert (
        refusal("local", option) == f"--beam {name} contradicts --runner and --workers: use those"
    )


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("streaming", "makes a pipeline that never ends"),
        ("no_wait_until_finish", "does not wait for a stage's end"),
        ("template_location=gs://b/t", "stores a pipeline and does not run it"),
        ("output_executable_path=/tmp/a.jar", "writes a pipeline to a file and does not run it"),
    ],
)
def test_an_option_under_which_a_stage_would_not_end_is_refused(option: str, reason: str) -> None:
    assert refusal("local", option) == f"--beam {option.partition('=')[0]} {reason}"


def test_asking_beam_for_help_does_not_end_the_program() -> None:
    assert refusal("local", "help").startswith("--beam help is not a setting: https://")


@pytest.mark.parametrize(
    ("runner", "given", "needed"),
    [
        ("PortableRunner", (), "job_endpoint"),
        ("FlinkRunner", (), "flink_master"),
        ("DataflowRunner", (), "project"),
        ("DataflowRunner", DATAFLOW[:1], "region"),
        ("DataflowRunner", DATAFLOW[:2], "temp_location"),
        ("DataflowRunner", DATAFLOW[:3], "sdk_container_image"),
        ("DataflowRunner", ("project=", *DATAFLOW[1:]), "project"),
    ],
)
def test_what_a_runner_needs_is_asked_for(runner: str, given: tuple[str, ...], needed: str) -> None:
    assert (
        refusal(runner, *given, out="gs://b/corpus") == f"runner {runner} needs --beam {needed}=…"
    )


@pytest.mark.parametrize(
    ("runner", "option", "message"),
    [
        (
            "local",
            "flink_master=a:1",
            (
                "--beam flink_master does not go with runner local, but with FlinkRunner "
                "or PortableRunner"
            ),
        ),
        (
            "SparkRunner",
            "flink_master=a:1",
            (
                "--beam flink_master does not go with runner SparkRunner, but with FlinkRunner "
                "or PortableRunner"
            ),
        ),
        (
            "PrismRunner",
            "spark_master_url=spark://a:1",
            "--beam spark_master_url does not go with runner PrismRunner, but with SparkRunner",
        ),
        (
            "local",
            "environment_type=EXTERNAL",
            (
                "--beam environment_type does not go with runner local, but with FlinkRunner "
                "or SparkRunner or DataflowRunner or PortableRunner or PrismRunner"
            ),
        ),
    ],
)
def test_an_option_of_another_runner_says_whose_it_is(
    runner: str, option: str, message: str
) -> None:
    assert refusal(runner, option) == message


@pytest.mark.parametrize("kind", ["EXTERNAL", "external", "DOCKER", "PROCESS"])
def test_workers_elsewhere_need_to_be_told_where(kind: str) -> None:
    assert refusal("SparkRunner", f"environment_type={kind}") == (
        "--beam environment_type also needs --beam environment_config=… "
        "(a worker pool's address, an image, or a command)"
    )
    accept("SparkRunner", f"environment_type={kind}", "environment_config=localhost:1")
    accept("SparkRunner", "environment_type=LOOPBACK")


def test_memory_and_local_folders_are_refused_where_workers_cannot_reach_them() -> None:
    message = (
        "memory://c lies in this process's memory, which workers "
        "of FlinkRunner cannot reach; name a folder or URL"
    )
    assert refusal("FlinkRunner", "flink_master=a:1", out="memory://c") == message
    message = "/corpus is a local folder, which Dataflow's workers cannot reach; name a gs:// URL"
    assert refusal("DataflowRunner", *DATAFLOW) == message
    accept("local", out="memory://c")
    accept("FlinkRunner", "flink_master=a:1")  # a folder may be shared by all machines


def on_dataflow(*options: str) -> str:
    return refusal("DataflowRunner", *DATAFLOW, *options, out="gs://bucket/corpus")


@pytest.mark.usefixtures("google")
@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["project=1234"], "Invalid Project ID (1234). Please make sure you specified the Project "
         "ID, not project number"),
        (["temp_location=bucket/temp"],
         "Invalid GCS path (bucket/temp), given for the option: temp_location"),
        (["staging_location=gs://bucket"], "Invalid GCS path: 'gs://bucket' given for option: "
         "staging_location. Did you mean: 'gs://bucket/ or gs://some_bucket/bucket'"),
        (["num_workers=4", "max_num_workers=2", "job_name=Ours"],
         "Invalid job_name (Ours); the name must consist of only the characters [-a-z0-9], "
         "starting with a letter and ending with a letter or number; num_workers (4) cannot "
         "exceed max_num_workers (2)"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_what_dataflow_would_refuse_is_told_in_beams_words(options: list[str], wrong: str) -> None:
    assert on_dataflow(*options) == (
        f"Dataflow would refuse these options of --beam: {wrong}; nothing was submitted"
    )


@pytest.mark.usefixtures("google")
def test_an_image_is_named_by_its_digest_on_dataflow() -> None:
    accept("DataflowRunner", *DATAFLOW, out="gs://bucket/corpus")
    for image in ("localhost:5000/o:0.1.0", "localhost:5000/o", "localhost:5000/o@sha256:0a"):
        tagged = image.removesuffix("@sha256:0a")
        assert on_dataflow(f"sdk_container_image={image}") == (
            f"--beam sdk_container_image={image} is not named by a digest, and a tag may be moved "
            "while jobs run: name it localhost:5000/o@sha256:…, as `docker buildx imagetools "
            f"inspect {tagged}` shows it"
        )


def test_without_googles_clients_options_are_checked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dataflow, "_clients_are_here", lambda: False)
    assert on_dataflow("project=1234").startswith("Dataflow would refuse these options")
    assert on_dataflow("machine_tpye=n2-standard-4") == (
        "--beam machine_tpye is not an option of Beam, nor of runner DataflowRunner (did you mean "
        "machine_type?); nothing was submitted"
    )
    assert on_dataflow().startswith(
        "Google's clients, by which runner DataflowRunner submits, are not installed; pip install "
        "'apache-beam[gcp]==2."
    )


def test_workers_are_counted_on_this_machine_only() -> None:
    message = (
        "--workers counts workers of this machine; "
        "runner SparkRunner has options of its own for that"
    )
    assert refusal("SparkRunner", workers=2) == message


def test_options_of_flinks_and_sparks_job_servers_are_known() -> None:
    accept("FlinkRunner", "flink_master=a:1", "object_reuse=true")
    accept("SparkRunner", "bundle_size=10")
    assert "object_reuse is not an option" in refusal("SparkRunner", "object_reuse=true")


def test_an_option_that_a_running_job_server_describes_is_accepted(job_server: str) -> None:
    accept("PortableRunner", f"job_endpoint={job_server}", "watermark_idle=3")
    assert "colour is not an option" in refusal(
        "PortableRunner", f"job_endpoint={job_server}", "watermark_idle=3", "colour=red"
    )


@pytest.mark.parametrize("others", [(), ("watermark_idle=3",)])
def test_a_job_server_that_does_not_answer_is_named(deaf: str, others: tuple[str, ...]) -> None:
    message = refusal("PortableRunner", f"job_endpoint={deaf}", *others)
    assert message.startswith(f"no Beam job server answers at {deaf} (")
    assert message.endswith("Connection refused); start it, or correct --beam job_endpoint=…")


def test_a_job_server_inside_this_process_is_not_asked() -> None:
    check_engine(Engine(1, "PortableRunner", ("--job_endpoint=embed",)), "/corpus")
    assert "colour is not an option" in refusal(
        "PortableRunner", "job_endpoint=embed", "colour=red"
    )


TRACE = """Pipeline job-1 failed in state FAILED: Traceback (most recent call last):
  File "a.py", line 1, in a
    go()
KeyError: 'C'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "common.py", line 1512, in process
    raise wrapped
    ^^^^^^^^^^^^^
ValueError: chords overlap [while running 'cut']
"""


def test_of_nested_stack_traces_one_line_is_left() -> None:
    assert first_cause(TRACE) == "ValueError: chords overlap [while running 'cut']"
    java = (
        "org.flink.JobException: failed\n\tat a.b(C.java:1)\nCaused by: "
        f"java.lang.RuntimeException: {TRACE}\n\tat d.e(F.java:2)"
    )
    assert first_cause(java) == "ValueError: chords overlap [while running 'cut']"
    assert (
        first_cause(java.partition("Traceback")[0])
        == "java.lang.RuntimeException: Pipeline job-1 failed in state FAILED:"
    )
    assert first_cause("no such project") == "no such project"
