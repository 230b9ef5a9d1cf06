"""A whole build whose captions a language model rewords: in the shards, in the ledger when nobody
answers, and again by retry.
"""

import json
import shutil
from pathlib import Path

import pytest
import webdataset

from flows.build.local import build, retry
from pipelines.beam.options import Engine
from pipelines.errors import PipelineError
from pipelines.reports.ledger import ledger_rows
from pipelines.storage.store import Store
from schemas.caption import CaptionKind
from schemas.corpus import Outcome, Unit
from schemas.recipe import Recipe, VerifyRecipe
from schemas.sample import Sample
from tests.support import building
from tests.support.running import obbligato as run
from tests.support.servers.llm_server import KEY, llm_server
from tests.support.small_build import Built, copied, rebuild


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def by_model(built: Built, url: str, **llm: object) -> Recipe:
    caption = built.recipe.caption.replaced(
        paraphraser="openai", sentences=(0, 0, 1), paraphrases=2, max_similarity=1
    )
    llm_settings = {"base_url": url, "budget_usd": 1.0, "attempts": 1, **llm}
    return built.recipe.replaced(
        caption=caption,
        llm=built.recipe.llm.replaced(**llm_settings),
        verify=VerifyRecipe(relabel_clips=0),
    )


def reworded(out: Path) -> dict[str, int]:
    """How many rewordings by the model each sample with a caption has."""
    shards = sorted(str(path) for path in (out / "shards").glob("*.tar"))
    samples = [
        Sample.model_validate_json(raw["json"])
        for raw in webdataset.WebDataset(shards, shardshuffle=False)
    ]
    return {
        sample.key: sum(
            caption.kind is CaptionKind.PARAPHRASE and caption.writer == "gpt-4o-mini"
            for caption in sample.captions
        )
        for sample in samples
        if sample.captions
    }


def test_what_nobody_answers_is_in_the_ledger_and_asked_again_by_retry(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    with llm_server(tmp_path / "refusing", refuse=0.3) as server:
        dataset = build(
            built.sources, str(out), by_model(built, server.url), Engine(workers=2), lambda _: None
        )
        samples = built.dataset.samples
        assert dataset.samples == samples
        dead = ledger_rows(Store(str(out)), [Outcome.DEAD])
        assert {(row.unit, row.stage, row.code) for row in dead} == {
            (Unit.TEXT, "paraphrase", "refused")
        }
        found = reworded(out)
        assert len(dead) == dataset.stages["paraphrase"]["unanswered"] > 0
        assert {key for key, count in found.items() if not count} == {row.key for row in dead}
        assert run("dead", "ls", str(out)).stdout.count("refused") >= len(dead)
    with llm_server(tmp_path / "willing") as server:
        # another address is no reason to ask again
        rebuild(built, out, by_model(built, server.url))
        assert server.answered() == []
        retry(str(out), [], Engine(), lambda _: None)
        assert (
            len(server.answered())
            == len({json.loads(line["asked"])["caption"] for line in server.answered()})
            > 0
        )
    assert ledger_rows(Store(str(out)), [Outcome.DEAD]) == []
    assert set(reworded(out).values()) == {2}


def test_the_quote_comes_before_the_money_and_the_build_goes_on_from_there(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    with llm_server(tmp_path / "server") as server:
        with pytest.raises(PipelineError, match="budget_usd is 0, so gpt-4o-mini is not asked"):
            rebuild(built, out, by_model(built, server.url, budget_usd=0))
        assert (
            "to reword by gpt-4o-mini, 0 of their requests answered already;"
            in run("captions", "quote", str(out)).stdout
        )
        quote = json.loads(
            run("captions", "quote", str(out), "--json", "--set", "llm.batch=true").stdout
        )
        rebuild(built, out, by_model(built, server.url))
        calls = len(server.answered())
    assert quote["captions"] == len(reworded(out))
    assert calls <= quote["calls"]
    assert quote["likely_usd"] == pytest.approx(
        json.loads(run("captions", "quote", str(out), "--json").stdout)["spent_usd"] / 2, rel=0.3
    )


@pytest.mark.slow
def test_the_same_answers_give_the_same_bytes_whoever_works(built: Built, tmp_path: Path) -> None:
    one, two = (copied(built, tmp_path / name) for name in ("one", "two"))
    with llm_server(tmp_path / "server", wrong=0.2) as server:
        recipe = by_model(built, server.url)
        build(built.sources, str(one), recipe, Engine(workers=2), lambda _: None)
    shutil.copytree(one / "answers", two / "answers")
    build(built.sources, str(two), recipe, Engine(), lambda _: None)  # no server is left to ask
    assert building.digests(one) == building.digests(two)


def test_a_build_that_could_never_ask_is_refused_before_it_starts(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(PipelineError, match="no price for poet-9"):
        build(
            built.sources,
            str(out),
            by_model(built, "http://127.0.0.1:9/v1", model="poet-9"),
            Engine(),
            lambda _: None,
        )
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(
        PipelineError, match="needs a key in the environment variable OPENAI_API_KEY"
    ):
        build(built.sources, str(out), by_model(built, ""), Engine(), lambda _: None)
    assert not out.exists()
