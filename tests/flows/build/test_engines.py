"""One corpus through every engine: the same bytes and the same ledger, whatever dies on the way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import psutil
import pytest
import soundfile

from flows.build.local import build
from flows.build.order import STEPS, steps_of
from flows.build.run_stage import chains_of
from flows.build.run_step import begin
from flows.build.step_process import StepOrder, StepProcess
from pipelines.beam.options import Engine
from pipelines.beam.run import run_buckets
from pipelines.engine.stage import Stage
from pipelines.errors import PipelineError
from pipelines.reports.ledger import ledger_rows
from pipelines.storage.lock import hold
from pipelines.storage.store import Store
from pipelines.trust.trusted import VARIABLE, requested
from schemas.corpus import Outcome
from schemas.dataset import Dataset
from schemas.recipe import Recipe
from tests.support import building, odd_stages
from tests.support.servers import portable
from tests.support.small_build import Built
from tests.support.tone_corpus import PLAIN
from tests.support.waiting import until

FAILS_WITHIN_S = 60
SHARES = 3
WHOLE_STEPS = ("list_inputs", "assign_buckets", "gather_vocabulary", "index_vocabulary", "close")


class Tones(NamedTuple):
    """Seven tones, one of them twice and one that is no audio, and their build by one worker."""

    sources: list[str]
    out: Path
    dataset: Dataset


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Tones:
    folder = tmp_path_factory.mktemp("tones")
    music = folder / "music"
    music.mkdir()
    seconds = np.arange(9 * 44_100) / 44_100
    for number in (0, 1, 2, 3, 4, 5, 5):
        name = f"{len(list(music.iterdir()))}.flac"
        soundfile.write(
            music / name, 0.3 * np.sin(2 * np.pi * (200 + 10 * number) * seconds), 44_100
        )
    (music / "broken.flac").write_bytes(b"no music")
    out = folder / "out"
    return Tones([str(music)], out, build([str(music)], str(out), PLAIN, Engine(), lambda _: None))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[portable.Servers]:
    """A job service and a worker pool that work in a folder of their own, not in the repository."""
    with portable.servers(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def ledger(out: Path) -> list[str]:
    return [row.model_dump_json() for row in ledger_rows(Store(str(out)), list(Outcome))]


def assert_same(out: Path, tones: Tones) -> None:
    assert building.digests(out) == building.digests(tones.out)
    assert ledger(out) == ledger(tones.out)


def test_the_corpus_has_something_of_everything(tones: Tones) -> None:
    assert tones.dataset.inputs.counts == {"in": 8, "used": 6, "duplicate": 1, "dead": 1}
    assert len(ledger(tones.out)) >= 2
    assert (
        len(
            [
                name
                for name in building.digests(tones.out)
                if name.endswith(".tar") and name.startswith("shards/")
            ]
        )
        >= 3
    )


@pytest.mark.parametrize(
    "options",
    [("--workers", "2"), ("--runner", "FnApiRunner", "--beam", "direct_runner_bundle_repeat=2")],
    ids=" ".join,
)
def test_workers_of_this_machine_and_repeated_bundles_give_the_same_bytes(
    tones: Tones, tmp_path: Path, options: tuple[str, ...]
) -> None:
    building.finish(building.started(tones.sources, tmp_path / "out", PLAIN, *options))
    assert_same(tmp_path / "out", tones)


def test_the_portable_path_gives_the_same_bytes_and_leaves_nobody_behind(
    tones: Tones, tmp_path: Path, servers: portable.Servers
) -> None:
    process = building.started(tones.sources, tmp_path / "out", PLAIN, *servers.options)
    building.finish(process)
    assert_same(tmp_path / "out", tones)
    until(partial(_idle, servers), "idle pool", FAILS_WITHIN_S)


def test_shares_taken_side_by_side_by_warm_processes_give_the_same_bytes(
    tones: Tones, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    processes = [StepProcess() for _ in range(SHARES)]
    try:
        with hold(Store(str(out)), "test") as lock, ThreadPoolExecutor(SHARES) as side_by_side:
            begin(tones.sources, str(out), PLAIN)
            order = StepOrder(
                str(out),
                "runs/shares",
                1,
                "local",
                (),
                lock.holder.holder_id,
                timeout_s=FAILS_WITHIN_S,
                trusted=requested(PLAIN),
            )
            for chain in chains_of(steps_of(PLAIN), PLAIN):
                parts = (
                    [""]
                    if chain[0] in WHOLE_STEPS
                    else [f"{number}/{SHARES}" for number in range(1, SHARES + 1)]
                )
                taken = [
                    side_by_side.submit(
                        process.take,
                        ",".join(chain),
                        part,
                        order,
                        lambda _step, _done, _total: None,
                        lambda _line: None,
                    )
                    for process, part in zip(processes, parts)
                ]
                for reports in taken:
                    assert tuple(report["step"] for report in reports.result()) == chain
    finally:
        for process in processes:
            process.close()
    assert_same(out, tones)


@pytest.mark.slow
def test_shares_taken_side_by_side_by_commands_give_the_same_bytes(
    tones: Tones, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with hold(Store(str(out)), "test") as lock:
        begin(tones.sources, str(out), PLAIN)
        for step in STEPS:
            shares = (
                [[]]
                if step in WHOLE_STEPS
                else [["--share", f"{number}/{SHARES}"] for number in range(1, SHARES + 1)]
            )
            for process in [_step(step, out, lock.environment(), options) for options in shares]:
                building.finish(process)
    assert_same(out, tones)


def _step(
    name: str, out: Path, environment: dict[str, str], options: list[str]
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "step", str(out), name, *options],
        cwd=building.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            **environment,
            "PYTHONPATH": str(building.ROOT),
            VARIABLE: "\n".join(requested(PLAIN)),
        },
    )


def _idle(servers: portable.Servers) -> bool:
    return not servers.below()


def _at_work(servers: portable.Servers) -> bool:
    """Whether a Beam worker of the pool drives a child: it is in the middle of a stage."""
    return any(
        "pipelines.engine.child_process" in " ".join(_command(process))
        for process in servers.below()
    )


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )


def test_a_build_goes_on_by_itself_when_a_beam_worker_is_killed_and_says_so_in_one_line(
    tones: Tones, tmp_path: Path, servers: portable.Servers
) -> None:
    process = building.started(tones.sources, tmp_path / "out", PLAIN, *servers.options)
    until(partial(_at_work, servers), "worker at work", FAILS_WITHIN_S, process)
    servers.harnesses()[0].kill()
    _, output = process.communicate(timeout=2 * FAILS_WITHIN_S)
    died = "a worker has died, or lost its connection; what it has finished is kept"
    lost = f"stages probe to cut failed: {died}"
    assert (process.returncode, output.decode()) == (0, f"{lost}; submitted again in 2 s\n")
    assert _lost(tmp_path / "out") == [lost]
    until(partial(_idle, servers), "idle pool", FAILS_WITHIN_S)
    assert_same(tmp_path / "out", tones)


def _lost(out: Path) -> list[str]:
    """What a run's reports say of jobs that lost their workers."""
    [report] = out.glob("runs/*/*.lost.json")
    return cast(list[str], json.loads(report.read_text()))


def test_when_the_client_is_killed_its_workers_end_and_a_local_run_ends_with_the_same_bytes(
    tones: Tones, tmp_path: Path, servers: portable.Servers
) -> None:
    process = building.started(tones.sources, tmp_path / "out", PLAIN, *servers.options)
    until(partial(_at_work, servers), "worker at work", FAILS_WITHIN_S, process)
    workers = servers.below()
    building.kill_tree(process)
    until(partial(_gone, workers), "end of the workers", FAILS_WITHIN_S)
    until(partial(_idle, servers), "idle pool", FAILS_WITHIN_S)
    build(tones.sources, str(tmp_path / "out"), PLAIN, Engine(), lambda _: None)
    assert_same(tmp_path / "out", tones)


@pytest.mark.parametrize("victim", ["pool", "job_service"])
def test_when_a_server_is_killed_the_run_fails_and_no_worker_stays(
    tones: Tones, tmp_path: Path, victim: str
) -> None:
    with portable.servers(tmp_path / "cluster") as servers:
        process = building.started(tones.sources, tmp_path / "out", PLAIN, *servers.options)
        until(partial(_at_work, servers), "worker at work", FAILS_WITHIN_S, process)
        workers = servers.below()
        getattr(servers, victim).kill()
        _, output = process.communicate(timeout=FAILS_WITHIN_S)
        assert process.returncode == 1
        # what was killed may have begun a line
        assert "obbligato: " in output.decode().splitlines()[-1]
        until(partial(_gone, workers), "end of the workers", FAILS_WITHIN_S)
    build(tones.sources, str(tmp_path / "out"), PLAIN, Engine(), lambda _: None)
    assert_same(tmp_path / "out", tones)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_stopped_cancels_its_job_and_its_workers_begin_no_other_bucket(
    tones: Tones, tmp_path: Path, servers: portable.Servers, number: signal.Signals
) -> None:
    process = building.started(tones.sources, tmp_path / "out", PLAIN, *servers.options)
    until(partial(_at_work, servers), "worker at work", FAILS_WITHIN_S, process)
    process.send_signal(number)
    _, output = process.communicate(timeout=FAILS_WITHIN_S)
    assert (process.returncode, output.decode()) == (130, "")
    until(partial(_idle, servers), "idle pool", FAILS_WITHIN_S)
    build(tones.sources, str(tmp_path / "out"), PLAIN, Engine(), lambda _: None)
    assert_same(tmp_path / "out", tones)


def _run_odd(stage: Stage, store: Store, servers: portable.Servers) -> list[str]:
    engine = Engine(1, "PortableRunner", tuple(f"--{setting}" for setting in servers.settings))
    return [
        row.bucket
        for row in run_buckets(
            [stage], store, Recipe(), {"a": 1, "b": 1, "c": 2}, "runs/odd", engine
        )
    ]


def test_an_error_of_ours_on_a_remote_worker_reaches_the_client_as_one_line(
    tmp_path: Path, servers: portable.Servers
) -> None:
    with pytest.raises(PipelineError) as failed:
        _run_odd(odd_stages.RAISES, Store(str(tmp_path)), servers)
    assert str(failed.value) == "stage raises, bucket c, failed: KeyError: 'no chord in c'"
    until(partial(_idle, servers), "idle pool", FAILS_WITHIN_S)


@pytest.mark.parametrize(
    "stage", [odd_stages.DIES_ONCE, odd_stages.DIES_LAST], ids=lambda stage: stage.name
)
def test_a_worker_that_dies_in_a_bucket_or_at_the_very_end_is_replaced_and_hangs_nothing(
    tmp_path: Path, servers: portable.Servers, stage: Stage
) -> None:
    assert _run_odd(stage, Store(str(tmp_path)), servers) == ["a", "b", "c"]
    [lost] = _lost(tmp_path)
    assert lost.startswith(f"stage {stage.name} failed: a worker has died")
    until(partial(_idle, servers), "idle pool", FAILS_WITHIN_S)


def test_a_module_that_the_workers_lack_is_named(tones: Tones, tmp_path: Path) -> None:
    with (
        portable.servers(tmp_path / "cluster", path="") as servers,
        pytest.raises(PipelineError, match="No module named 'tests") as failed,
    ):
        _run_odd(odd_stages.RAISES, Store(str(tmp_path / "out")), servers)
    assert "\n" not in str(failed.value)


@pytest.mark.slow
def test_workers_from_the_wheel_alone_give_the_same_bytes_with_real_annotators(
    built: Built, tmp_path: Path
) -> None:
    layers = building.ROOT / "infra/container/layers.sh"
    subprocess.run([layers, "wheel", tmp_path / "wheels"], check=True)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    constraints = building.ROOT / "infra/constraints.txt"
    wheel = next((tmp_path / "wheels").glob("obbligato-*.whl"))
    torch = next(
        line for line in constraints.read_text().splitlines() if line.startswith("torch==")
    )
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        str(constraints),
    ]
    subprocess.run([*pip, "setuptools", "wheel"], check=True)
    subprocess.run([*pip, torch, f"{wheel}[beam]"], check=True)
    with portable.servers(tmp_path / "cluster", python=str(python), path="") as servers:
        building.finish(
            building.started(built.sources, tmp_path / "out", built.recipe, *servers.options)
        )
    assert building.digests(tmp_path / "out") == building.digests(built.out)
