"""`obbligato evaluate --memorized` as a user meets it: shares in the terminal, both sounds on the
page, the model card, and a limit that fails.
"""

import json
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from flows.cli import app
from flows.errors import UsageError
from flows.screens.model_card import model_card
from flows.screens.model_files import evaluation_of
from pipelines.audio.decode import flac
from tests.flows.cli.test_evaluate import PLAIN, Page
from tests.pipelines.shards.shard_samples import write_shard
from tests.support.melodies import RATE_HZ, melody
from tests.support.model_facts import OURS, facts
from tests.training.data.shards import sample_of


def members(number: int, split: str) -> list[tuple[str, bytes]]:
    sample = sample_of(number, split=split)
    return [
        (f"{sample.key}.flac", flac(melody(number, 4), RATE_HZ)),
        (f"{sample.key}.json", sample.model_dump_json().encode()),
    ]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report of a folder of two clips, one of them learned, and the terminal's lines."""
    folder = tmp_path_factory.mktemp("memorized")
    shards, made = folder / "shards", folder / "made"
    write_shard(shards / "train-00000.tar", [one for n in range(3) for one in members(n, "train")])
    write_shard(shards / "test-00000.tar", members(9, "test"))
    made.mkdir()
    soundfile.write(made / "learned <i>.wav", 0.5 * melody(1, 4), RATE_HZ)
    soundfile.write(made / "new.wav", melody(20, 4), RATE_HZ)
    result = CliRunner().invoke(
        app,
        ["evaluate", str(made), str(shards), "--memorized", f"--out={folder / 'report'}", *PLAIN],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    return folder, result.stdout


def test_the_terminal_and_the_report_say_what_is_copied(evaluated: tuple[Path, str]) -> None:
    folder, output = evaluated
    assert "copies of training music, played by held-out prompts: 50.0 %" in output
    assert "copies of training music, held-out music: 0.0 %" in output
    assert "3 training samples compared" in output
    found = json.loads((folder / "report" / "report.json").read_text())["memorized"]
    copies = {clip["name"]: [one["is_copy"] for one in clip["nearest"]] for clip in found["clips"]}
    assert copies == {"learned <i>.wav": [True, False, False], "new.wav": [False, False, False]}
    assert found["clips"][0]["nearest"][0]["key"] == sample_of(1).key


def test_the_page_plays_both_sounds_side_by_side(evaluated: tuple[Path, str]) -> None:
    report = evaluated[0] / "report"
    html = (report / "index.html").read_text()
    assert "learned <i>.wav" not in html
    played = [str(one["src"]) for one in Page(html).of("audio")]
    both = [source for source in played if "memorized" in source]
    assert [Path(source).stem for source in both[:2]] == [
        "memorized-0000-played",
        "memorized-0000-learned",
    ]
    sounds = [soundfile.read(report / source)[0] for source in both[:2]]
    assert sounds[0] == pytest.approx(0.5 * sounds[1], abs=1e-3)


def test_the_card_says_what_is_copied(evaluated: tuple[Path, str]) -> None:
    report = (evaluated[0] / "report" / "report.json").read_bytes()
    card = model_card(facts(OURS, found=[None], evaluation=evaluation_of(report)))
    assert "## Songs learned by heart" in card
    assert (
        "| copies, held-out prompts | clips that are proved copies of what was learned from "
        "| 50.0 % |"
    ) in card
    assert "Compared with 3 training samples" in card


def test_a_limit_fails_and_the_report_stands(evaluated: tuple[Path, str], tmp_path: Path) -> None:
    folder = evaluated[0]
    words = ["evaluate", str(folder / "made"), str(folder / "shards"), f"--out={tmp_path / 'out'}"]
    with pytest.raises(
        UsageError, match=r"50\.0 % of 2 are clips that are proved copies.*the limit is 40 %"
    ):
        CliRunner().invoke(app, [*words, "--max-memorized", "0.4", *PLAIN], catch_exceptions=False)
    assert (tmp_path / "out" / "report.json").is_file()


def test_without_a_corpus_there_is_nothing_to_compare_with(
    evaluated: tuple[Path, str], tmp_path: Path
) -> None:
    words = ["evaluate", str(evaluated[0] / "made"), "--memorized", f"--out={tmp_path / 'out'}"]
    with pytest.raises(UsageError, match="name it after what is evaluated"):
        CliRunner().invoke(app, [*words, *PLAIN], catch_exceptions=False)
