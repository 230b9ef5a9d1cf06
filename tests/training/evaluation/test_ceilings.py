"""What recordings of the same prompts get, and what a codec leaves of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import soundfile
import torch

from pipelines.codecs import Codec
from schemas.recipe import Recipe
from tests.pipelines.shards.shard_samples import our_sample, ours, write_shard
from tests.support.clip_reports import clip_report, report_of
from tests.support.heard_labels import heard_labels, laid_out
from training.evaluation.ceiling_figures import with_ceilings
from training.evaluation.ceilings import Ceilings, CodecOn, read_ceilings, round_trip
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import EstimatedClip
from training.evaluation.report import EvaluationReport
from training.metrics.controls import PromptControls
from training.metrics.timing import timing_of

FOUR = ("C:maj", "A:min7", "F:maj", "G:7")
BEATS = tuple(0.5 * at for at in range(16))
PLAIN = "tests.support.plug_ins.plain_annotator"  # hears 120 BPM, C major, one C chord


class HalfLevelCodec:
    """Frames of 100 samples as latents; what it decodes is half as loud."""

    facts = SimpleNamespace(
        name="half", rate_hz=4000, samples_per_frame=100, wave_channels=1, is_stereo=False
    )

    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        missing = -waves_BS.shape[1] % 100
        padded = torch.nn.functional.pad(waves_BS, (0, missing))
        return padded.reshape(len(padded), 1, -1, 100)

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        return latents_BCTF.reshape(len(latents_BCTF), -1) / 2


CODEC = CodecOn(cast(Codec, HalfLevelCodec()), torch.device("cpu"))


def test_a_round_trip_is_as_long_as_the_wave() -> None:
    wave = np.linspace(-1, 1, 250, dtype=np.float32)
    assert np.allclose(round_trip(wave, CODEC), wave / 2)


def test_the_recordings_of_prompts_are_found_and_go_through_the_codec(tmp_path: Path) -> None:
    sample = our_sample()
    write_shard(tmp_path / "test-00000.tar", ours(sample))
    (tmp_path / "out").mkdir()
    asked = PromptControls(bpm=120)
    made = [
        MadeClip("one", "Rock.", asked, "gone.flac", reference=sample.key),
        MadeClip("one-tempo", "Rock.", asked, "gone.flac", swap_of="one"),
        MadeClip("two", "Rock.", asked, "gone.flac", reference="ffffffffffffffff-0-2000-orig"),
    ]
    recipe = Recipe()
    recipe = recipe.replaced(
        annotate=recipe.annotate.replaced(beats=PLAIN, chords=PLAIN, key=PLAIN)
    )
    done: list[int] = []
    found = read_ceilings(
        made, str(tmp_path), tmp_path / "out", recipe, codec=CODEC, watch=done.append
    )
    assert list(found.recordings) == list(found.codec) == [sample.key]
    assert (found.codec_name, done) == ("half", [1, 2])
    recorded, tripped = found.recordings[sample.key], found.codec[sample.key]
    assert recorded.made.timing == tripped.made.timing == timing_of(sample.labels)
    assert recorded.labels is not None
    assert recorded.labels.tempo.bpm == 120
    sounds = [soundfile.read(one.made.path)[0] for one in (recorded, tripped)]
    assert np.abs(sounds[1]).max() == pytest.approx(np.abs(sounds[0]).max() / 2, abs=0.02)


@pytest.fixture
def report() -> EvaluationReport:
    """A model that plays nothing of what is asked, of a prompt and of its chords in reverse, and of
    a tempo and another."""
    deaf = heard_labels(laid_out(("B:dim",) * 4), BEATS, bpm=60)
    turned = FOUR[::-1]
    chords, back = PromptControls(chords=FOUR), PromptControls(chords=turned)
    timings = [timing_of(heard_labels(laid_out(one), BEATS)) for one in (FOUR, turned)]
    slow, fast = PromptControls(bpm=120), PromptControls(bpm=80)
    return report_of(
        [
            clip_report("one", chords, timings[0], deaf),
            clip_report("one-chords", back, timings[1], deaf, swap_of="one"),
            clip_report("two", slow, timings[0], deaf),
            clip_report("two-tempo", fast, timings[0], deaf, swap_of="two"),
        ]
    )


def recorded(made: MadeClip, *chords: str, bpm: float = 120) -> EstimatedClip:
    """A recording of FOUR, as heard."""
    clip = made._replace(timing=timing_of(heard_labels(laid_out(FOUR), BEATS)))
    return EstimatedClip(clip, heard_labels(laid_out(chords), BEATS, bpm=bpm), None)


def test_recordings_and_codec_stand_beside_the_figures(report: EvaluationReport) -> None:
    made = [
        MadeClip(clip.name, clip.caption, clip.asked, "", clip.timing, clip.swap_of, "song")
        for clip in report.clips
    ]
    sevenths_lost = ("C:maj", "A:min", "F:maj", "G:maj")
    found = with_ceilings(
        report,
        made,
        Ceilings(
            {"song": recorded(made[0], *FOUR)},
            {"song": recorded(made[0], *sevenths_lost, bpm=81)},
            "mel",
        ),
    )
    assert found.ceilings is not None
    assert (found.ceilings.recordings, found.ceilings.codec_name) == (1, "mel")
    beside = {one.name: (one.value, one.recordings, one.codec) for one in found.timeline}
    assert beside["chord overlap, majmin"] == (0.0, 1.0, 1.0)
    assert beside["chord overlap, sevenths"] == (0.0, 1.0, 0.5)
    assert beside["tempo, accuracy 1"] == (0.0, 1.0, 0.0)
    assert beside["beat F"] == (1.0, 1.0, 1.0)
    lists = {one.name: (one.value, one.recordings, one.codec) for one in found.figures}
    assert lists["PCM"] == (0.0, 1.0, 0.0)
    assert lists["CMOT"] == (0.0, 1.0, 1.0)
    assert found.swaps is not None
    tempo, chords = found.swaps.swaps
    # nearer to what it is a recording of than to the swapped prompt; 81 BPM is nearer to 80
    assert (tempo.followed.recordings, tempo.followed.codec) == (1.0, 0.0)
    assert (chords.followed.value, chords.followed.recordings, chords.followed.codec) == (
        0.25,
        1.0,
        1.0,
    )
    assert (chords.own.recordings, chords.other.recordings) == (1.0, 0.0)
    assert {one.name: one.codec for one in chords.also}["by root"] == 1.0


def test_without_a_recording_there_is_no_ceiling(report: EvaluationReport) -> None:
    found = with_ceilings(report, [], Ceilings({}, {}))
    assert {one.recordings for one in (*found.figures, *found.timeline)} == {None}
