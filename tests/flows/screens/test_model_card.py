"""The model card: lineage by content, figures, licences, and what it does not claim."""

from flows.screens.model_card import (
    Corpus,
    Evaluation,
    FoundCorpus,
    ModelFacts,
    model_card,
)
from pipelines.storage.store import digest
from tests.support.model_facts import OURS, RECIPE, facts
from training.evaluation.clips import CheckpointFacts
from training.metrics.summary import Figure
from training.run.corpus_survey import DatasetFacts


def test_the_card_names_dataset_recipe_versions_figures_and_licences() -> None:
    made = facts(OURS, found=[FoundCorpus(sha256=OURS.sha256, version=4)])
    card = model_card(made)
    assert made.recipe_sha256 == digest(RECIPE.model_dump(mode="json"))
    for output in (
        "# night music\n",
        "63 million parameters",
        "40 steps, 1280 samples.\n",
        f"| training recipe | sha256 `{made.recipe_sha256}`;",
        "| train loss | 0.25 |\n| validation loss | 0.375 |\n",
        (
            "- **Airs**, version 4: 900 samples, built by Obbligato 0.1.0\n  - at /corpora/airs\n  "
            f"- dataset.json sha256 `{OURS.sha256}`\n"
        ),
        (
            "- music of Airs, CC-BY-4.0: 7 clips\n"
            "- music of Airs, CC0-1.0: 2 clips\n"
            "- labels of Airs, madmom: CC-BY-NC-SA-4.0\n"
        ),
        "- text encoder, google/flan-t5-large: Apache-2.0\n",
    ):
        assert output in card


def test_what_was_learned_from_keeps_its_licences_whatever_stands_there_now() -> None:
    card = model_card(facts(OURS, found=[FoundCorpus(sha256="cd" * 32, version=5)]))
    assert f"sha256 `{OURS.sha256}`; what stands there now is another state of it\n" in card
    assert "version 5" not in card
    assert "- music of Airs, CC0-1.0: 2 clips\n" in card
    assert f"sha256 `{OURS.sha256}`; no longer there\n" in model_card(facts(OURS, found=[None]))


def test_shards_of_others_are_named_without_a_claim() -> None:
    card = model_card(facts(DatasetFacts(target="/theirs/*.tar", samples=7), found=[None]))
    assert r"- /theirs/\*.tar: 7 samples, shards without a dataset.json" in card
    assert r"- music of /theirs/\*.tar: unknown; see where it came from" in card


def test_names_of_others_stay_in_their_line() -> None:
    licences = {f"licence\n- {number:02d}": 1 for number in range(30)}
    rogue = OURS.replaced(name="x\n# Free of charge [y](http://z)", sources=licences, tools={})
    card = model_card(facts(rogue, found=[FoundCorpus(sha256=rogue.sha256)]))
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# night music",
        "## Learned from",
        "## Licences",
    ]
    assert "http://z)" in card
    assert "](http" not in card.replace(r"\](http", "")
    assert sum("clips" in line for line in card.splitlines()) == 20
    assert "10 more licences: see its dataset.json" in card


def test_figures_of_an_evaluation_are_on_the_card() -> None:
    half = Figure(
        name="TB", meaning="tempo in the asked bin", value=0.5, low=0.25, high=0.75, clips=8
    )
    weights = CheckpointFacts(name="/m", sha256="cd" * 32)
    found = Evaluation(
        report_sha256="ef" * 32,
        checkpoint=weights,
        reference="/corpora/airs",
        reference_split="test",
        seed=3,
        clips=9,
        figures=(half,),
        distances={"Fréchet distance (bridge)": 0.125},
    )
    made = facts(OURS, found=[None], evaluation=found)
    assert model_card(made).partition("## Does it play what is asked\n\n")[2].partition(
        "\n\n## Learned"
    )[0] == (
        "| metric | | 95 % | clips |\n|---|---:|---:|---:|\n"
        "| TB, tempo in the asked bin | 0.500 | 0.250 – 0.750 | 8 |\n"
        "| Fréchet distance (bridge) | 0.125 | | 9 |\n\n"
        "By `obbligato evaluate` against /corpora/airs test, seed 3: report.json sha256 "
        f"`{'ef' * 32}`, weights sha256 `{'cd' * 32}`."
    )
    assert ModelFacts.model_validate_json(made.model_dump_json()) == made
    assert made.corpora == (Corpus(facts=OURS, stands=None),)
    assert found.values == {"TB": 0.5, "Fréchet distance (bridge)": 0.125}
