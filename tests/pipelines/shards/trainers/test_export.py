"""Exports for trainers: audio value for value at bar lines, what is known of it, licences, and
nothing lost or overwritten without a word.
"""

import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.captioning.facts import facts_of
from pipelines.errors import PipelineError, WrongArgument
from pipelines.shards.find import find_shards
from pipelines.shards.trainers.export import ExportedSet, export_for
from pipelines.shards.trainers.formats import ExportForm
from pipelines.shards.trainers.segments import CutAt, spans
from pipelines.shards.trainers.texts import tokens_at_most
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change, Guest, Source
from schemas.identity import Split
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo
from schemas.recipe import Recipe
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import foreign, our_sample, write_shard
from tests.pipelines.shards.trainers.exported_samples import RATE_HZ, random_sample
from tests.pipelines.shards.trainers.trainer_readers import (
    read_acestep,
    read_musicgen,
    read_stable_audio,
)

SURE: dict[str, Any] = {"confidence": 0.9, "tool": "t", "version": "1", "licence": "CC BY 4.0"}
NOISE = np.random.default_rng(0).integers(-9000, 9000, (40 * RATE_HZ, 2), dtype=np.int16)


def waltz(key: str = "00112233445566aa-0-40000-orig", **fields: Any) -> Sample:
    """40 s in 3/4 at 120 BPM and in A♭ major, two chords of 18 s and 22 s, the one at 0.5 s."""
    times = [round(0.5 + 0.5 * beat, 3) for beat in range(79)]
    segments = (
        ChordSegment(start_s=0.0, end_s=18.5, label="Ab:maj"),
        ChordSegment(start_s=18.5, end_s=40.0, label="Eb:7"),
    )
    words = ("A flute plays.", "It is in E minor.", "It fades at 0:35.")
    source = Caption(
        text=" ".join(words), kind=CaptionKind.SOURCE, sentences=words, facts=facts_of(words)
    )
    return our_sample(
        key=key,
        clip_key=key.rpartition("-")[0],
        duration_s=40.0,
        end_s=40.0,
        channels=2,
        beats=Beats(times_s=times, numbers=[beat % 3 + 1 for beat in range(79)], **SURE),
        meter=Meter(beats_per_bar=3, **SURE),
        tempo=Tempo(bpm=120, **SURE),
        chords=Chords(segments=segments, **SURE),
        key_label=KeyLabel(tonic=8, mode="major", **SURE),
        captions=(source,),
        source=Source(uri="/m/a.wav", licence="CC-BY-4.0", title="Air", artist="Ann", genre="Jazz"),
    ).replaced(**fields)


def flac_of(wave: Any) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave, RATE_HZ, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def shard(path: Path, *samples: Sample, cut_s: float = 40.0) -> Path:
    audio = flac_of(NOISE[: round(cut_s * RATE_HZ)])
    members = [
        part
        for sample in samples
        for part in (
            (f"{sample.key}.flac", audio),
            (f"{sample.key}.json", sample.model_dump_json().encode()),
        )
    ]
    return write_shard(path, members)


def exported(trainer: ExportForm, target: Path, out: Path, **given: Any) -> ExportedSet:
    given = {"recipe": Recipe(), "dataset": "mine", **given}
    return export_for(trainer, find_shards(str(target)), str(out), **given)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_acestep_reads_fields_apart_from_the_caption(tmp_path: Path) -> None:
    done = exported(ExportForm.ACESTEP, shard(tmp_path / "a.tar", waltz()), tmp_path / "out")
    (read,) = read_acestep(tmp_path / "out/train.json")
    # 26 bars of 1.5 s: from the first downbeat to the last
    assert (read.duration_s, read.bpm, read.key, read.beats_per_bar) == (39, 120, (8, "major"), 3)
    assert read.texts[1] == "jazz"
    assert read.texts[0] in ("Jazz.",) or read.texts[0].startswith("A flute plays. ")
    assert "E minor" not in read.texts[0]
    assert "0:35" not in read.texts[0]
    row = json.loads((tmp_path / "out/train.json").read_bytes())["samples"][0]
    assert row["keyscale"] == "Ab major"
    wave, rate_hz = soundfile.read(read.audio, dtype="int16")
    assert (rate_hz, wave.shape) == (RATE_HZ, (39 * RATE_HZ, 2))
    assert np.array_equal(wave, NOISE[RATE_HZ // 2 :][: len(wave)])
    assert (done.segments, done.seconds, done.left_out) == ({"train": 1}, 39.0, {})
    assert done.licences == {"CC-BY-4.0": 1}


def test_musicgen_reads_segments_that_it_does_not_crop(tmp_path: Path) -> None:
    exported(ExportForm.MUSICGEN, shard(tmp_path / "a.tar", waltz()), tmp_path / "out")
    first, second = read_musicgen(tmp_path / "out/train")
    assert (first.duration_s, second.duration_s) == (19.5, 19.5)  # 13 bars each
    assert (first.bpm, first.key, second.key) == (120.0, (8, "major"), (8, "major"))
    assert first.texts[1].split(", ")[0] == "jazz"
    assert "Ab major" in first.texts[1]
    wave, _ = soundfile.read(second.audio, dtype="int16")
    assert np.array_equal(wave, NOISE[20 * RATE_HZ : round(39.5 * RATE_HZ)])
    info = json.loads(Path(first.audio).with_suffix(".json").read_bytes())
    assert (info["title"], info["artist"], info["genre"]) == ("Air", "Ann", "jazz")


def test_stable_audio_tools_is_given_one_of_three_texts(tmp_path: Path) -> None:
    exported(ExportForm.STABLE_AUDIO_TOOLS, shard(tmp_path / "a.tar", waltz()), tmp_path / "out")
    ((audio, known),) = read_stable_audio(tmp_path / "out/train.json")
    prompts = json.loads(Path(audio).with_suffix(".json").read_bytes())["prompts"]
    prompt = known.pop("prompt")
    assert known == {"bpm": 120.0, "key": "Ab major", "beats_per_bar": 3}
    assert prompt in prompts
    assert len(prompts) == 3
    assert set(prompts[0].split(", ")) == {"jazz", "120 BPM", "3/4", "Ab major"}
    assert prompts[1].startswith("Jazz, ")
    assert prompts[2].startswith("A flute plays. ")
    assert "E minor" not in prompts[2]  # the labels deny it
    assert "Ab" in prompts[2]
    assert "Eb7" in prompts[2]


def test_what_labels_are_not_sure_of_is_absent(tmp_path: Path) -> None:
    unsure = {**SURE, "confidence": 0.5}
    sample = waltz(
        meter=Meter(beats_per_bar=3, **unsure),
        tempo=Tempo(bpm=120, **unsure),
        chords=Chords(segments=waltz().chords.segments, **unsure),
        key_label=KeyLabel(tonic=8, mode="major", **unsure),
        captions=(),
    )
    exported(ExportForm.ACESTEP, shard(tmp_path / "a.tar", sample), tmp_path / "ace")
    (read,) = read_acestep(tmp_path / "ace/train.json")
    assert read[2:] == (None, None, None, ("Jazz.", "jazz"))
    exported(ExportForm.STABLE_AUDIO_TOOLS, tmp_path / "a.tar", tmp_path / "sat")
    ((_, known),) = read_stable_audio(tmp_path / "sat/train.json")
    assert set(known) == {"prompt"}
    assert known["prompt"] in ("jazz", "Jazz.")


def test_a_mix_whose_fields_could_name_one_source_alone_is_left_out_and_counted(
    tmp_path: Path,
) -> None:
    guest = Guest(
        clip_key="00112233445566bb-0-40000",
        source=Source(uri="/m/b.wav", artist="Bob"),
        start_s=0,
        end_s=40,
        speed=1,
        semitones=0,
        offset_s=0,
        share=0.5,
    )
    mix = waltz("00112233445566aa-0-40000-m1", change=Change(variant="m1"), guest=guest)
    target = shard(tmp_path / "a.tar", waltz(), mix)
    done = exported(ExportForm.MUSICGEN, target, tmp_path / "out")
    assert (done.samples, done.left_out) == (1, {"sample_that_is_a_mix": 1})


def test_a_bar_too_short_to_train_on_is_left_out_and_counted(tmp_path: Path) -> None:
    """A bar of 23 s, then one of 2 s: the second is no segment."""
    beats = Beats(times_s=(0.0, 23.0, 25.0), numbers=(1, 1, 1), **SURE)
    target = shard(tmp_path / "a.tar", waltz(beats=beats))
    done = exported(ExportForm.MUSICGEN, target, tmp_path / "out")
    assert (done.segments, done.seconds) == ({"train": 1}, 23.0)
    assert done.left_out == {"segment_too_short": 1}


@pytest.mark.parametrize("most_s", [12.0, 30.0, 240.0])
def test_segments_lie_on_downbeats_in_order_and_within_the_limit(most_s: float) -> None:
    for number in range(40):
        labels = random_sample(number).labels
        found = spans(labels, most_s)
        for span in found:
            assert 0 < span.end_s - span.start_s <= most_s + 1e-6
            if span.at is CutAt.BARS:
                assert {span.start_s, span.end_s} <= set(labels.beats.downbeats_s)
        assert all(one.end_s <= two.start_s for one, two in itertools.pairwise(found))
        if found[0].at is CutAt.BARS:
            assert found[0].start_s == labels.beats.downbeats_s[0]
            assert found[-1].end_s == labels.beats.downbeats_s[-1]
        else:
            assert sum(span.end_s - span.start_s for span in found) == pytest.approx(
                labels.duration_s
            )


def test_the_tail_of_what_does_not_fit_is_cut(tmp_path: Path) -> None:
    words = tuple(
        f"Number {number} of many things is said about the flute." for number in range(60)
    )
    source = Caption(text=" ".join(words), kind=CaptionKind.SOURCE, sentences=words, facts=())
    target = shard(tmp_path / "a.tar", waltz(captions=(source,)))
    exported(ExportForm.STABLE_AUDIO_TOOLS, target, tmp_path / "out")
    ((audio, _),) = read_stable_audio(tmp_path / "out/train.json")
    text = json.loads(Path(audio).with_suffix(".json").read_bytes())["prompts"][2]
    assert text.startswith("Number 0 of many things")
    assert "Ab" in text
    assert "Number 50" not in text
    assert 100 < tokens_at_most(text) <= 128


def test_the_manifest_names_each_file_with_its_licences(tmp_path: Path) -> None:
    target = shard(tmp_path / "a.tar", waltz())
    exported(ExportForm.MUSICGEN, target, tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
    there = files(tmp_path / "out")
    assert {row["file"]: row["sha256"] for row in manifest["files"]} == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in there.items()
        if name != "manifest.json"
    }
    first = manifest["audio"][0]
    wanted = ("CC-BY-4.0", "Air", "Ann", "/m/a.wav", 0.5, 20.0, "bars")
    names = ("licence", "title", "artist", "source", "start_s", "end_s", "cut_at")
    assert tuple(first[name] for name in names) == wanted
    kinds = ("beats", "meter", "tempo", "chords", "key")
    assert first["label_licences"] == dict.fromkeys(kinds, "CC BY 4.0")
    assert manifest["licences"] == {"CC-BY-4.0": 2}


@pytest.mark.parametrize("trainer", list(ExportForm))
def test_an_export_made_again_has_the_same_bytes(trainer: ExportForm, tmp_path: Path) -> None:
    target = shard(tmp_path / "a.tar", waltz(), waltz("00112233445566aa-0-40000-pu1"))
    exported(trainer, target, tmp_path / "out")
    before = files(tmp_path / "out")
    exported(trainer, target, tmp_path / "out", force=True)
    assert files(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "out"]


def test_nothing_is_replaced_that_no_export_wrote(tmp_path: Path) -> None:
    target, out = shard(tmp_path / "a.tar", waltz()), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(PipelineError, match="is not an export"):
        exported(ExportForm.ACESTEP, target, out, force=True)
    assert files(out) == {"mine.txt": b"mine"}
    (out / "mine.txt").unlink()
    exported(ExportForm.ACESTEP, target, out)
    with pytest.raises(PipelineError, match="exists: name another folder, or --force"):
        exported(ExportForm.ACESTEP, target, out)
    (out / "train.json").write_text("corrected by hand")
    with pytest.raises(PipelineError, match=r"train\.json was changed or added"):
        exported(ExportForm.ACESTEP, target, out, force=True)
    assert (out / "train.json").read_text() == "corrected by hand"
    with pytest.raises(WrongArgument, match="is a URL"):
        export_for(
            ExportForm.ACESTEP,
            find_shards(str(target)),
            "s3://a/b",
            recipe=Recipe(),
            dataset="mine",
        )


def test_an_export_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    target = shard(tmp_path / "a.tar", waltz())
    with pytest.raises(PipelineError, match=r"nothing to export: .* in split test"):
        exported(ExportForm.ACESTEP, target, tmp_path / "out", split=Split.TEST)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    exported(ExportForm.ACESTEP, target, tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(PipelineError, match="nothing to export"):
        exported(ExportForm.ACESTEP, target, tmp_path / "out", split=Split.TEST, force=True)
    assert files(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "out"]


def test_a_folder_whose_replacement_cannot_be_moved_in_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, out = shard(tmp_path / "a.tar", waltz()), tmp_path / "out"
    exported(ExportForm.ACESTEP, target, out)
    before = files(out)
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if ".part-" in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(PipelineError, match="No space left on device"):
        exported(ExportForm.ACESTEP, target, out, force=True)
    assert files(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "out"]


def test_what_cannot_be_used_is_named_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    shard(folder / "a.tar", waltz())
    shard(folder / "b.tar", waltz(), waltz("00112233445566bb-0-40000-orig"), cut_s=30)
    write_shard(folder / "c.tar", foreign("0"))
    broken = waltz("00112233445566cc-0-40000-orig")
    write_shard(
        folder / "d.tar",
        [
            (f"{broken.key}.flac", b"fLaC no"),
            (f"{broken.key}.json", broken.model_dump_json().encode()),
        ],
    )
    shard(folder / "e.tar", waltz("00112233445566dd-0-40000-orig", split="test"))
    done = exported(ExportForm.MUSICGEN, folder, tmp_path / "out", split=Split.TRAIN)
    named = {(problem.shard, problem.key[:16], problem.code) for problem in done.problems}
    assert named == {
        ("b.tar", "00112233445566aa", "wrong_length"),
        ("b.tar", "00112233445566bb", "wrong_length"),
        ("c.tar", "0", "foreign"),
        ("d.tar", "00112233445566cc", "undecodable"),
    }
    assert (done.samples, done.left_out) == (1, {"sample_of_another_split": 1})
    manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
    assert len(manifest["problems"]) == 4
