"""`obbligato evaluate` as a user meets it, and its page as a browser does."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from flows.cli import app
from flows.errors import UsageError
from flows.screens.evaluation_picture import png
from pipelines.errors import PipelineError
from pipelines.synthesis.songs import write_songs
from schemas.chord import NO_CHORD
from schemas.labels import Labels
from tests.pipelines.shards.shard_samples import our_sample, write_build
from tests.support.melodies import RATE_HZ, melody
from training.errors import TrainingError
from training.metrics.tagging import CLASSES

# An annotator that hears 120 BPM in 4/4, C major and one C chord in everything.
PLAIN = [
    f"--set=annotate.{name}=tests.support.plug_ins.plain_annotator"
    for name in ("beats", "chords", "key")
]
PEAK = "tests.support.plug_ins.peak_scorer"  # the greatest sample of each clip
MINOR = "tests.support.plug_ins.minor_judge"  # hears E minor sevenths in everything, nothing else
HOSTILE = (
    '<script>alert("x")</script> <img src=x onerror=alert(1)> '
    "in C major at 120 BPM & more. The chords are C."
)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def rendered(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        soundfile.write(folder / name, melody(seed, 2.4), RATE_HZ)


def lines(folder: Path, *rows: dict[str, Any]) -> None:
    (folder / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


class Page(HTMLParser):
    """Tags of a page with their attributes; that each one is closed is checked while reading."""

    VOID = frozenset(("meta", "link", "img", "br", "line", "rect", "circle", "image"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A report on clips with a hostile prompt, a swap, a broken file and a row without one, beside
    a shard; and the terminal's lines.
    """
    folder = tmp_path_factory.mktemp("evaluate")
    made = folder / "made <b>"
    rendered(made, 'a "b" <i>.wav', "slow.flac", "swapped.wav", "silent on this.wav")
    (made / "broken.wav").write_bytes(b"no sound at all")
    waltz = "A waltz at 90 BPM in A minor."
    lines(
        made,
        {
            "file": 'a "b" <i>.wav',
            "prompt": HOSTILE,
            "chords": ["C"],
            "chords_time": [0.5],
            "beats": [[0.5, 1.0, 1.5], [4, 1, 2]],
        },
        {"file": "slow.flac", "prompt": waltz, "reference": our_sample().key},
        {"file": "swapped.wav", "prompt": waltz.replace("90", "135"), "swap_of": "slow.flac"},
        {"file": "silent on this.wav"},
        {"file": "broken.wav", "prompt": waltz},
        {"file": "gone.wav"},
    )
    other = our_sample(
        key="00112233445566ab-0-2000-orig",
        clip_key="00112233445566ab-0-2000",
        song_id="00112233445566ab",
    )
    shards = write_build(folder / "shards", our_sample(), other)
    ears = ["--scorer", PEAK, "--scorer", f"ast={made}", "--judge", MINOR]
    output = run("evaluate", made, shards, "--out", folder / "report", *PLAIN, *ears)
    return folder / "report", output


def test_figures_are_those_that_the_labels_give(scored: tuple[Path, str]) -> None:
    report = json.loads((scored[0] / "report.json").read_text())
    assert report["counts"] == {
        "given": 6,
        "scored": 4,
        "dead": 1,
        "skipped": 1,
        "without_prompt": 1,
        "swaps": 1,
    }
    corrected, published = (
        {row["name"]: (row["value"], row["clips"]) for row in report[name]}
        for name in ("figures", "published")
    )
    assert corrected == {  # of two prompts: the swap of the second is no clip more
        "TB": (0.5, 2),
        "TBT": (0.5, 2),
        "CK": (0.5, 2),
        "CKD": (1.0, 2),
        "BM": (0.5, 2),
        "PCM": (1.0, 1),
        "ECM": (1.0, 1),
        "CMO": (1.0, 1),
        "CMOT": (1.0, 1),
        "CP": (1.0, 1),
        "CPT": (1.0, 1),
    }
    assert published == {
        name: row for name, row in corrected.items() if name not in ("CP", "CPT")
    } | {"CKD": (0.5, 2)}
    dead, skipped = sorted(report["problems"], key=lambda row: row["name"])
    assert (dead["name"], skipped["reason"]) == ("broken.wav", "gone.wav is not there")
    assert dead["reason"].startswith("undecodable")


def test_likeness_is_measured_beside_the_shards(scored: tuple[Path, str]) -> None:
    space = json.loads((scored[0] / "report.json").read_text())["space"]
    assert space["embedder"] == "bridge all-MiniLM-L6-v2"
    assert (space["frechet_clips"], space["reference_clips"], space["prompt_cosine"]["clips"]) == (
        3,
        2,
        2,
    )
    assert 0 < space["frechet"] < 2
    assert 0 < space["kl_sets"] < 1
    assert space["kl_pairs"]["clips"] == 1
    # one pair tells no spread
    assert space["kl_pairs"]["low"] == space["kl_pairs"]["value"] == space["kl_pairs"]["high"]


def test_level_and_scorers_are_told_beside_the_reference_and_what_does_not_run(
    scored: tuple[Path, str],
) -> None:
    sound = json.loads((scored[0] / "report.json").read_text())["sound"]
    waves = [melody(seed, 2.4) for seed in (0, 1, 3)]  # the third is a swap
    levels = [10 * np.log10(np.mean(wave**2)) for wave in waves]
    assert sound["level"]["made"]["mean_db"] == pytest.approx(np.mean(levels), abs=0.1)
    assert sound["level"]["reference"]["clips"] == 2
    assert len(sound["level"]["octaves"]) == 8
    peak, ast = sound["scorers"]
    [figure] = peak["figures"]
    assert figure["figure"]["value"] == pytest.approx(
        np.mean([np.abs(wave).max() for wave in waves]), abs=1e-2
    )
    assert (figure["unit"], figure["better"], figure["figure"]["clips"]) == ("clip", "higher", 3)
    page = (scored[0] / "index.html").read_text()
    assert "no Audio Spectrogram Transformer at" in ast["not_run"]
    assert "ast: not run: no Audio Spectrogram Transformer at" in scored[1].replace("\n", " ")
    assert "not run: no Audio Spectrogram Transformer at" in page
    assert "<td class=name>peak</td>" in page


def test_a_judge_s_labels_stand_beside_ours_and_are_scored_by_the_same_rules(
    scored: tuple[Path, str],
) -> None:
    report = json.loads((scored[0] / "report.json").read_text())
    [judge] = report["judges"]
    assert (judge["name"], judge["hears"], judge["clips"]) == (MINOR, ["chords"], 3)
    theirs, ours = (
        {row["name"]: row["value"] for row in judge[side]} for side in ("figures", "ours")
    )
    assert (theirs["PCM"], ours["PCM"]) == (0.0, 1.0)  # a C is asked
    heard = [clip["judged"][MINOR]["chords"]["segments"][0]["label"] for clip in report["clips"]]
    assert heard == ["E:min7"] * 4
    page = (scored[0] / "index.html").read_text()
    assert page.count(f"<dt>heard by {MINOR}</dt>") == 4
    assert f"PCM 0.0 % as {MINOR} hears it, 100.0 % as we do" in scored[1].replace("\n", " ")


def test_a_scorer_or_judge_that_is_not_there_is_refused_before_anything_is_heard(
    tmp_path: Path,
) -> None:
    rendered(tmp_path / "made", "x.wav")
    for option in ("scorer", "judge"):
        with pytest.raises(PipelineError, match=f"no {option} called 'nobody'"):
            run("evaluate", tmp_path / "made", "--out", tmp_path / "x", f"--{option}", "nobody")


def test_a_swap_is_told_with_what_stayed(scored: tuple[Path, str]) -> None:
    [swap] = json.loads((scored[0] / "report.json").read_text())["swaps"]["swaps"]
    # both sound at 120 BPM
    assert (swap["control"], swap["pairs"], swap["followed"]["value"]) == ("tempo", 1, 0.0)
    assert {row["name"]: row["value"] for row in swap["stayed"]} == {
        "key": 1.0,
        "chords": 1.0,
        "meter": 1.0,
    }
    assert "swap of tempo: followed in 0 % of 1" in scored[1]
    assert "of those scored 1 in the swap test alone" in scored[1]


def test_the_asked_timeline_is_scored_beside_a_recording_and_chance(
    scored: tuple[Path, str],
) -> None:
    report = json.loads((scored[0] / "report.json").read_text())
    assert (report["version"], report["ceilings"]["recordings"], report["ceilings"]["codec"]) == (
        3,
        1,
        0,
    )
    found = {row["name"]: row for row in report["timeline"]}
    # C from 0.5 s on was asked of one clip, and C is heard throughout
    assert (found["chord overlap, sevenths"]["value"], found["chord overlap, root"]["clips"]) == (
        1.0,
        1,
    )
    assert 0 < found["beat F"]["value"] < 1  # three beats of it, and more are heard
    assert found["tempo, accuracy 1"]["value"] == 0.5
    # the recording of the waltz is of A minor and Ab dim7 by its labels, and C is heard in it
    assert found["chord overlap, root"]["recordings"] == 0.0
    page = (scored[0] / "index.html").read_text()
    assert "<h2>Timeline" in page
    assert "Recordings: 1 sample whose prompts these are" in page
    assert "chord overlap, majmin" in scored[1]


def test_a_report_to_compare_with_is_looked_for_first(tmp_path: Path) -> None:
    rendered(tmp_path / "made", "x.wav")
    with pytest.raises(UsageError, match=r"neither a report\.json nor the folder of one"):
        run("evaluate", tmp_path / "made", "--compare", tmp_path / "none", *PLAIN)
    (tmp_path / "report.json").write_text('{"version": 2}')
    with pytest.raises(TrainingError, match=r"not a report\.json of this version"):
        run("evaluate", tmp_path / "made", "--compare", tmp_path, *PLAIN)


def test_a_swap_is_marked_and_chance_does_not_meet_it(scored: tuple[Path, str]) -> None:
    report = json.loads((scored[0] / "report.json").read_text())
    assert [one["swap_of"] for one in report["clips"]] == ["", "", "slow.flac", ""]
    chance = {row["name"]: row["chance"] for row in report["figures"]}
    assert chance["TB"] == 0.5  # of two prompts and three clips, all at 120 BPM
    text = (scored[0] / "index.html").read_text()
    assert text.count("swap of slow.flac: in the swap test alone") == 1
    assert "1 scored in the swap test alone" in text


def test_the_page_escapes_what_comes_from_outside_and_needs_nothing_from_elsewhere(
    scored: tuple[Path, str],
) -> None:
    text = (scored[0] / "index.html").read_text()
    page = Page(text)
    assert page.of("script") == page.of("img") == page.of("i") == []
    assert {
        name for _, attributes in page.tags for name in attributes if name.startswith("on")
    } == set()
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in text
    assert "made &lt;b&gt;" in text
    sources = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href") and value
    ]
    assert all(value.startswith(("audio/", "data:image/png;base64,")) for value in sources)
    assert "http" not in text.replace("https://", "http://").split("<style>")[0]


def test_every_clip_can_be_heard_and_seen(scored: tuple[Path, str]) -> None:
    folder = scored[0]
    page = Page((folder / "index.html").read_text())
    audio = [str(attributes["src"]) for attributes in page.of("audio")]
    assert audio == [
        "audio/0000-a-b-i.wav",
        "audio/0001-slow.flac",
        "audio/0002-swapped.wav",
        "audio/0003-silent-on-this.wav",
    ]
    assert sorted(path.name for path in (folder / "audio").iterdir()) == sorted(
        Path(name).name for name in audio
    )
    assert [soundfile.info(folder / name).duration for name in audio] == [2.4] * 4
    assert len(page.of("image")) == 4
    # the one asked change that has a time
    assert len([one for one in page.of("line") if one.get("class") == "boundary"]) == 1
    assert len([one for one in page.of("line") if one.get("class") == "beat asked"]) == 3


def test_again_it_replaces_its_report_but_nothing_else(
    scored: tuple[Path, str], tmp_path: Path
) -> None:
    rendered(tmp_path / "made", "x.wav")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else than a report"):
        run("evaluate", tmp_path / "made", "--out", tmp_path / "mine", *PLAIN)
    with pytest.raises(UsageError, match="its audio would be counted the next time"):
        run("evaluate", tmp_path / "made", "--out", tmp_path / "made" / "report", *PLAIN)
    for show in (1, 0):
        output = run(
            "evaluate", tmp_path / "made", "--out", tmp_path / "report", "--show", show, *PLAIN
        )
        assert len(list((tmp_path / "report" / "audio").iterdir())) == show
    assert "no prompt states a tempo, key, chords or a meter" in output
    with pytest.raises(TrainingError, match="expected sound files"):
        run("evaluate", tmp_path / "mine", "--out", tmp_path / "report", *PLAIN)


def test_beside_a_manifest_there_is_no_report(tmp_path: Path) -> None:
    rendered(tmp_path / "made", "x.wav")
    lines(tmp_path / "made", {"file": "x.wav", "prompt": "Rock."})
    with pytest.raises(UsageError, match="its audio would be counted the next time"):
        run(
            "evaluate",
            tmp_path / "made" / "manifest.jsonl",
            "--out",
            tmp_path / "made" / "report",
            *PLAIN,
        )
    for _ in range(2):
        run("evaluate", tmp_path / "made" / "manifest.jsonl", "--out", tmp_path / "report", *PLAIN)
        assert json.loads((tmp_path / "report" / "report.json").read_text())["counts"]["given"] == 1


def test_an_embedder_that_hears_is_asked_for_the_concepts_that_prompts_name(
    tmp_path: Path,
) -> None:
    rendered(tmp_path / "made", "all.wav", "none.wav")
    lines(
        tmp_path / "made",
        {"file": "all.wav", "prompt": ", ".join(CLASSES)},
        {"file": "none.wav", "prompt": "Something calm."},
    )
    hears = ["--embedder", "tests.support.plug_ins.plain_embedder"]
    output = run("evaluate", tmp_path / "made", "--out", tmp_path / "report", *PLAIN, *hears)
    space = json.loads((tmp_path / "report" / "report.json").read_text())["space"]
    # whatever sounds, five of the 33 names are nearest
    assert space["concept_coverage"]["value"] == pytest.approx(5 / 33, abs=1e-4)
    assert (space["concept_coverage"]["clips"], space["prompt_cosine"]["clips"]) == (1, 2)
    assert "concepts covered 0.151 (–) of 1 clip whose prompts name any" in output
    assert "<td class=name>concept coverage</td>" in (tmp_path / "report/index.html").read_text()


def test_hostile_rows_cost_themselves_alone(tmp_path: Path) -> None:
    rendered(tmp_path / "made", "half.wav", "good.wav", "time.wav", "beats.wav", "far.wav")
    lines(
        tmp_path / "made",
        {"file": "half.wav", "prompt": "\ud800"},
        {"file": "good.wav", "prompt": "Rock in C major."},
        {"file": "time.wav", "chords": ["C"], "chords_time": [10**400]},
        {"file": "beats.wav", "beats": [10**400]},
        {"file": "far.wav", "reference": "\udcff"},
    )
    run("evaluate", tmp_path / "made", "--out", tmp_path / "report", *PLAIN)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [one["name"] for one in report["clips"]] == ["good.wav"]
    # A line of JSON that cannot be read names no file: four lines by number, and the four files
    # that no row names.
    assert report["counts"] == {
        "given": 9,
        "scored": 1,
        "dead": 0,
        "skipped": 8,
        "without_prompt": 0,
        "swaps": 0,
    }
    skipped = sorted(problem["name"] for problem in report["problems"])
    assert skipped == [
        "beats.wav",
        "far.wav",
        "half.wav",
        *(f"manifest.jsonl#{line}" for line in (1, 3, 4, 5)),
        "time.wav",
    ]


def test_a_report_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(tmp_path / "made", "x.wav")
    run("evaluate", tmp_path / "made", "--out", tmp_path / "report", *PLAIN)
    before = {
        path: path.read_bytes()
        for path in sorted((tmp_path / "report").rglob("*"))
        if path.is_file()
    }

    def broken(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr("flows.screens.evaluation_page.page", broken)
    with pytest.raises(OSError, match="no space left"):
        run("evaluate", tmp_path / "made", "--out", tmp_path / "report", *PLAIN)
    assert {
        path: path.read_bytes()
        for path in sorted((tmp_path / "report").rglob("*"))
        if path.is_file()
    } == before
    assert not (tmp_path / "report" / ".fresh").exists()


def test_composed_pieces_score_by_their_truth(tmp_path: Path) -> None:
    write_songs(tmp_path, songs=2)
    (tmp_path / "songs.csv").unlink()
    rows = []
    for index in (0, 1):
        wave, rate_hz = soundfile.read(tmp_path / f"piece-00{index}.flac")
        soundfile.write(tmp_path / f"piece-00{index}.flac", wave[: 12 * rate_hz], rate_hz)
        truth = Labels.model_validate_json((tmp_path / f"piece-00{index}.truth.json").read_text())
        chords = [
            segment
            for segment in truth.chords.segments
            if segment.start_s < 11 and segment.label != NO_CHORD
        ]
        rows.append(
            {
                "file": f"piece-00{index}.flac",
                "prompt": "A piece.",
                "bpm": truth.tempo.bpm,
                "meter": truth.meter.beats_per_bar,
                "chords": [segment.label for segment in chords],
            }
        )
    lines(tmp_path, *rows)
    run("evaluate", tmp_path, "--out", tmp_path.parent / "truth-report")
    report = json.loads((tmp_path.parent / "truth-report" / "report.json").read_text())
    found = {row["name"]: row["value"] for row in report["figures"]}
    assert (found["TBT"], found["BM"]) == (1.0, 1.0)
    assert found["CMOT"] > 0.8
    assert found["CPT"] > 0.7


def test_a_picture_is_a_png_of_one_colour_with_the_level_as_opacity(tmp_path: Path) -> None:
    from PIL import Image

    levels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    (tmp_path / "x.png").write_bytes(png(levels))
    shown = np.asarray(Image.open(tmp_path / "x.png").convert("RGBA"))
    assert (shown[..., 3] == levels).all()
    assert len(np.unique(shown[..., :3].reshape(-1, 3), axis=0)) == 1


def test_what_plays_beside_a_model_is_refused_for_recordings(tmp_path: Path) -> None:
    rendered(tmp_path / "songs", "a.wav")
    with pytest.raises(UsageError, match=r"--vocoder, --upsample: .* holds recordings"):
        run(
            *("evaluate", tmp_path / "songs", "--out", tmp_path / "report"),
            *("--vocoder", "none", "--upsample", "folder"),
        )
