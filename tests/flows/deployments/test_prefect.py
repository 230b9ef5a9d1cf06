"""Flows under a real Prefect server and process worker: schedules, cancelling, killed workers,
versions, artifacts.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest

from flows.build.local import build
from pipelines.beam.options import Engine
from pipelines.llm.answers import Answers
from pipelines.llm.money import USD
from pipelines.storage.store import Store
from schemas.recipe import Recipe
from tests.support.building import digests
from tests.support.servers.llm_server import KEY, llm_server
from tests.support.servers.prefect_server import Server, marked, until_alone, worker
from tests.support.tone_corpus import PATIENT, PLAIN, Corpus
from tests.support.waiting import until


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    made = Corpus(tmp_path, songs=3)
    made.write()
    return made


def parameters(corpus: Corpus, recipe: Recipe = PLAIN, **engine: Any) -> dict[str, Any]:
    return {
        "sources": [str(corpus.folder / "songs.csv")],
        "out": str(corpus.out),
        "recipe": recipe.model_dump(mode="json"),
        "engine": engine,
    }


def plainly_built(corpus: Corpus, folder: Path, recipe: Recipe = PLAIN) -> dict[str, str]:
    build([str(corpus.folder / "songs.csv")], str(folder), recipe, Engine(), lambda _: None)
    return digests(folder)


def test_a_scheduled_deployment_runs_to_completion_and_shows_what_it_did(
    server: Server, corpus: Corpus, tmp_path: Path
) -> None:
    deployment = server.ask("deployments/name/build-corpus/build")["id"]
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    schedule = {
        "schedule": {"interval": 86_400, "anchor_date": soon},
        "active": True,
        "parameters": parameters(corpus, workers=2),
    }
    [made] = server.ask(f"deployments/{deployment}/schedules", [schedule])
    with worker(server):
        ended = {
            "deployment_id": {"any_": [deployment]},
            "state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}},
        }
        question = {"flow_runs": ended}
        [run] = until(lambda: server.ask("flow_runs/filter", question), "run", pause_s=0.25)
    assert (run["state"]["name"], run["auto_scheduled"], made["active"]) == (
        "Completed",
        True,
        True,
    )
    found = server.artifacts(run["id"])
    assert {"steps-small", "agreement-small", "card-small", "output-small"} <= found.keys()
    assert (
        "planned 6, rejected 3, written 3"
        in next(row for row in json.loads(found["steps-small"]) if row["step"] == "pack")["counts"]
    )
    assert found["card-small"].startswith("# small\n")
    assert str(corpus.out) in found["output-small"]
    assert digests(corpus.out) == plainly_built(corpus, tmp_path / "plain")


@pytest.mark.slow
def test_a_cancelled_run_leaves_no_process_behind_and_resumes(
    server: Server, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    with worker(server, OBBLIGATO_TEST_GO=str(go)) as (started, mark):
        run = server.run("build-corpus/build", **parameters(corpus, PATIENT))
        until((tmp_path / "go.reached").exists, "work")
        assert any(
            "pipelines.engine.child_process" in " ".join(process.cmdline())
            for process in marked(mark)
        )
        server.ask(
            f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        )
        assert server.ended(run) == "Cancelled"
        until_alone(started, mark)
        assert not (corpus.out / "run.lock").exists()
        go.touch()
        assert (
            server.ended(server.run("build-corpus/build", **parameters(corpus, PATIENT)))
            == "Completed"
        )
    monkeypatch.setenv("OBBLIGATO_TEST_GO", str(go))
    assert digests(corpus.out) == plainly_built(corpus, tmp_path / "plain", PATIENT)


@pytest.mark.slow
def test_a_second_run_of_a_folder_is_refused_and_one_after_a_killed_worker_goes_on(
    server: Server, corpus: Corpus, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with worker(server, OBBLIGATO_TEST_GO=str(go)) as (_, mark):
        server.run("build-corpus/build", **parameters(corpus, PATIENT))
        until((tmp_path / "go.reached").exists, "work")
        second = server.run("build-corpus/build", **parameters(corpus, PATIENT))
        assert server.ended(second) == "Failed"
        assert "is in use by flow run" in server.message(second)
        for process in marked(mark):  # the machine is gone
            process.kill()
        psutil.wait_procs(marked(mark))
    go.touch()
    with worker(server, OBBLIGATO_TEST_GO=str(go)):
        assert (
            server.ended(server.run("build-corpus/build", **parameters(corpus, PATIENT)))
            == "Completed"
        )


@pytest.mark.slow
def test_automations_are_made_once_and_watch_our_flows(server: Server) -> None:
    # twice in one process: most of its time is what it loads
    program = (
        "from runpy import run_module\n"
        "for _ in range(2): run_module('flows.deployments.automations', run_name='__main__')"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        env=server.environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    found = server.ask("automations/filter", {})
    assert sorted(made["name"] for made in found) == [
        "obbligato: a crashed run starts again",
        "obbligato: a run that vanished has crashed",
    ]


@pytest.mark.slow
def test_a_run_whose_machine_is_gone_is_found_by_its_silence_and_resumes(
    server: Server, corpus: Corpus, tmp_path: Path
) -> None:
    program = (
        "from flows.deployments.automations import automations, publish; "
        "publish(automations(silence_s=45))"
    )
    subprocess.run([sys.executable, "-c", program], env=server.environment, check=True)
    go = tmp_path / "go"
    with worker(server, OBBLIGATO_TEST_GO=str(go)) as (_, mark):
        run = server.run("build-corpus/build", **parameters(corpus, PATIENT))
        until((tmp_path / "go.reached").exists, "work")
        for process in marked(mark):
            process.kill()
    go.touch()
    with worker(server, OBBLIGATO_TEST_GO=str(go)):
        # it has crashed in between, for as short a time as a retry needs: the states below say so
        until(lambda: server.state(run) == "Completed", "completion", 300)
    names = [state["name"] for state in server.ask(f"flow_run_states/?flow_run_id={run}")]
    assert names[names.index("Crashed") : names.index("Crashed") + 2] == [
        "Crashed",
        "AwaitingRetry",
    ]


@pytest.mark.slow  # a minute and a half; a scheduled build is tried above
def test_nightly_does_nothing_where_nothing_is_new_and_publishes_a_version_where_something_is(
    server: Server, corpus: Corpus
) -> None:
    corpus.add(9, uri="missing.flac")
    corpus.write()
    with worker(server):
        first = server.run("nightly/nightly", **parameters(corpus))
        assert server.ended(first) == "Completed"
        assert until(
            lambda: server.ask(
                "events/filter", {"filter": {"event": {"name": ["obbligato.dead-letters"]}}}
            )["events"],
            "event",
        )
        before = {path.name: path.read_bytes() for path in (corpus.out / "shards").glob("*.tar")}
        again = server.run("nightly/nightly", **parameters(corpus))
        assert (server.ended(again), server.message(again)) == ("Nothing new", "version 1 stands")
        corpus.add(3)
        corpus.write()
        third = server.run("nightly/nightly", **parameters(corpus))
        assert server.ended(third) == "Completed"
    output = server.artifacts(third)["changes-small"]
    assert output.startswith("# Version 2, after version 1, the same recipe")
    assert "| written | 3 | 4 | +1 |" in output
    assert "- shards added: 1" in output
    assert {name: (corpus.out / "shards" / name).read_bytes() for name in before} == before


@pytest.mark.slow
def test_backfill_in_slices_gives_the_bytes_of_a_build(
    server: Server, corpus: Corpus, tmp_path: Path
) -> None:
    recipe = PLAIN.replaced(caption=PLAIN.caption.replaced(paraphrases=0))
    plainly_built(corpus, corpus.out)
    with worker(server):
        backfill = {**parameters(corpus, recipe, slices=2), "sources": None}
        run = server.run(
            "backfill/backfill",
            **{name: value for name, value in backfill.items() if value is not None},
        )
        assert server.ended(run) == "Completed"
    assert digests(corpus.out / "shards") == {
        name.removeprefix("shards/"): digest
        for name, digest in plainly_built(corpus, tmp_path / "plain", recipe).items()
        if name.startswith("shards/")
    }


def test_wrong_parameters_are_refused_before_a_run_is_made(server: Server, corpus: Corpus) -> None:
    wrong = parameters(corpus)
    wrong["recipe"]["ingest"]["clip_seconds"] = 3
    with pytest.raises(HTTPError) as refused:
        server.run("build-corpus/build", **wrong)
    assert refused.value.code == 409
    assert b"clip_seconds" in refused.value.read()


@pytest.mark.parametrize(
    ("name", "out"), [("train/train", "/nowhere-model"), ("pipeline/pipeline", "/nowhere-pipeline")]
)
def test_deployments_train_here_and_beside_the_corpus(server: Server, name: str, out: str) -> None:
    found = server.ask(f"deployments/name/{name}")
    assert (found["parameters"]["out"], found["parameters"]["launching"]) == (
        out,
        {"launcher": "local"},
    )
    assert (
        found["parameter_openapi_schema"]["properties"]["launching"]["default"]["launcher"]
        == "local"
    )


@pytest.mark.slow
def test_a_run_tells_what_a_language_model_wrote_and_cost_and_never_its_key(
    server: Server, corpus: Corpus, tmp_path: Path
) -> None:
    with llm_server(tmp_path / "server", wrong=0.4) as model, worker(server, OPENAI_API_KEY=KEY):
        recipe = PLAIN.replaced(
            caption=PLAIN.caption.replaced(
                paraphraser="openai", sentences=(0, 0, 1), paraphrases=2
            ),
            llm=PLAIN.llm.replaced(base_url=model.url, budget_usd=0.5),
        )
        run = server.run("build-corpus/build", **parameters(corpus, recipe, slices=2))
        assert server.ended(run, limit_s=240) == "Completed", server.message(run)
        calls = len(model.answered())
    backfill = server.artifacts(run)["rewording-small"]
    spent = Answers(Store(str(corpus.out))).spent / USD
    assert backfill.startswith(f"${spent:.4f} spent by this run, ${spent:.4f} of $0.50 in all.")
    assert f"| calls | {calls} |" in backfill
    assert "| refused because | times |" in backfill
    assert "**landed**" in backfill
    [task] = server.ask("task_runs/filter", {"task_runs": {"tags": {"all_": ["obbligato-llm"]}}})
    assert task["name"].startswith("paraphrase")
    everything = b"".join(path.read_bytes() for path in corpus.out.rglob("*") if path.is_file())
    assert KEY.encode() not in everything
    assert KEY not in json.dumps(
        server.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
    )
    report = json.loads(next((corpus.out / "runs").glob("*/paraphrase.told.json")).read_text())
    assert report["usd"] == pytest.approx(spent)


@pytest.mark.slow
def test_a_corpus_is_labelled_by_a_flow_that_shows_how_the_labels_spread(
    server: Server, corpus: Corpus, tmp_path: Path
) -> None:
    plainly_built(corpus, corpus.out)
    (tmp_path / "tags.txt").write_text(
        "\n".join(["calm pad", "bright lead", "dark choir", "soft flute", "loud organ"])
    )
    label = {"vocabularies": [str(tmp_path / "tags.txt")], "short_labels": 2, "nearest": 5}
    with worker(server):
        run = server.run("label/label", out=str(corpus.out), label=label)
        assert server.ended(run) == "Completed", server.message(run)
        refused = server.run("label/label", out=str(corpus.out), label={"vocabularies": []})
        assert server.ended(refused) == "Failed"
    backfill = server.artifacts(run)["labels-small"]
    assert backfill.startswith("3 of 3 samples (100.0 %) have labels.")
    assert "| short | 6 |" in backfill
    assert "| tags | short | 5 | 5 | 0 |  |" in backfill
    assert all(len(sample.pseudo_labels) == 2 for _, sample in corpus.samples())


@pytest.mark.slow
def test_a_corpus_is_encoded_by_a_flow(server: Server, corpus: Corpus) -> None:
    plainly_built(corpus, corpus.out)
    with worker(server):
        run = server.run("encode/encode", out=str(corpus.out), encode={"codec": "mel"})
        assert server.ended(run) == "Completed", server.message(run)
        refused = server.run("encode/encode", out=str(corpus.out), encode={"codec": ""})
        assert server.ended(refused) == "Failed"
    assert json.loads((corpus.out / "dataset.json").read_text())["latents"]["name"] == "mel"
