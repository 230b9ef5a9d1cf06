"""Which engine runs the stages, checked before anything is submitted."""

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipelines.errors import PipelineError, WrongArgument
from pipelines.extras import require

LOCAL: Final = "local"  # our own pool, without Beam
# Beam in this process: one worker, no server; for trying what a runner may do
IN_MEMORY: Final = "FnApiRunner"
_ANSWERS_WITHIN_S: Final = 10
_DASK: Final = (
    "Beam's Dask runner reports success with data missing (side outputs, what finish_bundle "
    "emits, all but the last branch); use slices instead: --slices N --dask ADDRESS"
)
_REMOTE: Final = ("FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner", "PrismRunner")
_NEAR: Final = 0.8  # of letters in common, from which on a name may be another misspelt
_SECRET: Final = re.compile("secret|password|token|access_key")
# options that --runner and --workers stand for
_OURS: Final = ("runner", "direct_num_workers", "direct_running_mode")
# Options of the job servers themselves, which Beam's Python side does not know (Beam 2.77,
# FlinkPipelineOptions, SparkPipelineOptions).
_SERVERS: Final = {
    "FlinkRunner": (
        "checkpointing_interval",
        "execution_mode_for_batch",
        "object_reuse",
        "savepoint_path",
    ),
    "SparkRunner": ("bundle_size", "storage_level"),
}
_UNFIT: Final = {  # every stage is a batch pipeline that must have ended before the next one starts
    "streaming": "makes a pipeline that never ends",
    "no_wait_until_finish": "does not wait for a stage's end",
    "output_executable_path": "writes a pipeline to a file and does not run it",
    "template_location": "stores a pipeline and does not run it",
    "help": "is not a setting: https://beam.apache.org/documentation/runners/ lists each runner's",
    "h": "is not a setting: https://beam.apache.org/documentation/runners/ lists each runner's",
}
_NEEDED: Final = {
    "PortableRunner": ("job_endpoint",),
    "FlinkRunner": ("flink_master",),
    # workers have our packages from the image alone
    "DataflowRunner": ("project", "region", "temp_location", "sdk_container_image"),
}
_FOREIGN: Final = {  # what says that another runner was meant
    "job_endpoint": ("PortableRunner", "FlinkRunner", "SparkRunner", "PrismRunner"),
    "environment_type": _REMOTE,
    "environment_config": _REMOTE,
    # beside a job server, it says where to look for slots, and where to end a job
    "flink_master": ("FlinkRunner", "PortableRunner"),
    "spark_master_url": ("SparkRunner",),
    "dataflow_endpoint": ("DataflowRunner",),
}


class Engine(NamedTuple):
    """How stages are run: worker count, Beam runner and its own options."""

    workers: int = 1
    runner: str = LOCAL
    options: tuple[str, ...] = ()


def engine_of(workers: int, runner: str, options: Sequence[str]) -> Engine:
    """An engine as the command line names it: "local" or a Beam runner, options as name=value."""
    return Engine(workers, runner, tuple(f"--{option.removeprefix('--')}" for option in options))


def option(engine: Engine, name: str) -> str:
    """A runner's own option as it was written; "" where it was not.

    >>> option(engine_of(1, "FlinkRunner", ["flink_master=host:8081"]), "flink_master")
    'host:8081'
    """
    return str(_given(engine).get(name, ""))


def check_engine(engine: Engine, out: str) -> None:
    """Raise `PipelineError` for a runner that cannot be trusted, and for options that are unknown
    or contradict each other; `MissingExtra` for a runner of Beam where Beam is not installed.
    """
    runner = engine.runner
    if "dask" in runner.lower():
        raise WrongArgument(_DASK)
    if runner not in (LOCAL, IN_MEMORY, *_REMOTE) and "." not in runner:
        raise WrongArgument(
            f"runner {runner} is unknown: expected local, "
            f"{', '.join(_REMOTE)}, or a class by its dotted path"
        )
    if runner != LOCAL:
        require("apache_beam")
    given = _given(engine)
    _check_names(engine, given)
    for name in _NEEDED.get(runner, ()):
        if not given.get(name):
            raise WrongArgument(f"runner {runner} needs --beam {name}=…")
    for name, runners in _FOREIGN.items():
        if given.get(name) and "." not in runner and runner not in runners:
            raise WrongArgument(
                f"--beam {name} does not go with runner {runner}, but with {' or '.join(runners)}"
            )
    _check_environment(given)
    if runner == LOCAL and given:
        raise WrongArgument(
            f"--beam {next(iter(given))} is an option of Beam, "
            "which runner local does without: name the runner it is for"
        )
    if runner != LOCAL:
        _check_elsewhere(engine, out)


def _check_environment(given: Mapping[str, Any]) -> None:
    kind = str(given.get("environment_type", "")).upper()
    if kind in ("EXTERNAL", "DOCKER", "PROCESS") and not given.get("environment_config"):
        raise WrongArgument(
            "--beam environment_type also needs --beam environment_config=… "
            "(a worker pool's address, an image, or a command)"
        )


def _check_elsewhere(engine: Engine, out: str) -> None:
    if engine.workers > 1:
        raise WrongArgument(
            "--workers counts workers of this machine; "
            f"runner {engine.runner} has options of its own for that"
        )
    if out.startswith("memory://"):
        raise WrongArgument(
            f"{out} lies in this process's memory, which workers "
            f"of {engine.runner} cannot reach; name a folder or URL"
        )
    if engine.runner == "DataflowRunner" and "://" not in out:
        raise WrongArgument(
            f"{out} is a local folder, which Dataflow's workers cannot reach; name a gs:// URL"
        )
    if engine.runner == "DataflowRunner":
        from pipelines.beam.dataflow import check_dataflow

        check_dataflow(engine)


def _given(engine: Engine) -> dict[str, Any]:
    """The options by name, as they were written."""
    pairs = (option.removeprefix("--").partition("=") for option in engine.options)
    return {name.replace("-", "_"): value if equals else True for name, equals, value in pairs}


def _check_names(engine: Engine, given: dict[str, Any]) -> None:
    if not given:
        return
    from pipelines.beam.quiet_import import PipelineOptions

    secret = next((name for name in given if _SECRET.search(name)), None)
    if secret:
        raise WrongArgument(
            f"--beam {secret} would be stored with the run; secrets come from the environment only"
        )
    for name in _OURS:
        if name in given:
            raise WrongArgument(f"--beam {name} contradicts --runner and --workers: use those")
    for name, reason in _UNFIT.items():
        if name in given:
            raise WrongArgument(f"--beam {name} {reason}")
    parsers: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    parsers[0].exit_on_error = False
    try:
        parsed, unknown = parsers[0].parse_known_args(list(engine.options))
    except argparse.ArgumentError as error:
        raise WrongArgument(
            f"--beam {str(error.argument_name).lstrip('-')}: {error.message}"
        ) from error
    allowed = {
        *_SERVERS.get(engine.runner, ()),
        *(_job_server_options(str(given["job_endpoint"])) if given.get("job_endpoint") else ()),
    }
    names = [option.removeprefix("--").partition("=")[0] for option in unknown]
    wrong = [name for name in names if name not in allowed]
    if wrong:
        near = difflib.get_close_matches(wrong[0], [*vars(parsed), *allowed], 1, _NEAR)
        raise WrongArgument(
            f"--beam {wrong[0]} is not an option of Beam, nor of runner {engine.runner}"
            f"{f' (did you mean {near[0]}?)' if near else ''}; nothing was submitted"
        )


def _job_server_options(endpoint: str) -> set[str]:
    """Names of the options that a job server says it has.

    Raises `PipelineError` where it does not answer.
    """
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    if endpoint == "embed":  # a job server inside this process
        return set()
    try:
        with grpc.insecure_channel(endpoint) as channel:
            stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
            request = beam_job_api_pb2.DescribePipelineOptionsRequest()
            return {
                option.name
                for option in stub.DescribePipelineOptions(
                    request, timeout=_ANSWERS_WITHIN_S
                ).options
            }
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return set()
        raise PipelineError(
            f"no Beam job server answers at {endpoint} ({error.details()}); "
            "start it, or correct --beam job_endpoint=…"
        ) from error
