"""`obbligato export` and `import`: a model handed on plays the same bytes, and says where it is
from.
"""

from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.models.published import started_from
from tests.support.running import obbligato
from tests.training.runs import NET, corpus, recipe
from training.conditions import CONTROLS
from training.run.loop import train


def test_a_model_that_was_handed_on_plays_the_same_and_says_what_it_learned_from(
    tmp_path: Path,
) -> None:
    run, handed, back = tmp_path / "run", tmp_path / "handed", tmp_path / "back"
    shards = corpus(tmp_path / "shards")
    net = NET.replaced(controls=(), rows=CONTROLS)
    train(
        recipe(shards, run__steps=1, sampling__steps=2).replaced(model=net),
        str(run),
        lambda _: None,
    )
    output = obbligato("export", run, "--out", handed, "--licence", "cc-by-4.0")
    assert output.returncode == 0, output.stderr
    card = (handed / "README.md").read_text()
    assert "\nlicense: cc-by-4.0\n" in card.partition("---\n")[2].partition("---\n")[0]
    assert "no longer there" not in card
    assert str(tmp_path) not in card
    assert obbligato("import", handed, "--out", back).returncode == 0
    played = {}
    for model in (run, back):
        out = tmp_path / f"played by {model.name}"
        asked = obbligato("sample", "A calm flute", "--chords=Am F", "--model", model, "--out", out)
        assert asked.returncode == 0, asked.stderr
        [played[model.name]] = [file.read_bytes() for file in out.glob("*.flac")]
    assert played["run"] == played["back"]


def test_what_an_import_that_did_not_end_has_left_is_to_be_removed(tmp_path: Path) -> None:
    (tmp_path / "run/parent/codec").mkdir(parents=True)
    with pytest.raises(UsageError, match="run/parent holds an import that did not end: remove it"):
        started_from(str(tmp_path / "published"), str(tmp_path / "run"), print)
