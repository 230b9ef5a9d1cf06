"""Asked against heard length: what a manifest asks for, and what is heard of its files."""

from pathlib import Path

import numpy as np
import soundfile

from flows.screens.evaluation_sound import _length_line
from schemas.recipe import Recipe
from tests.training.data.shards import sample_of
from training.evaluation.estimated import EstimatedClip
from training.evaluation.folders import read_folder
from training.evaluation.scorers.opened import NO_SCORERS
from training.evaluation.sound_report import sound_report

RATE_HZ = 8000


def write(path: Path, seconds: float, silence_s: float) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    soundfile.write(path, np.pad(tone, (0, round(silence_s * RATE_HZ))), RATE_HZ)


def test_lengths_that_a_manifest_asks_for_are_compared_with_what_sounds(tmp_path: Path) -> None:
    write(tmp_path / "near.wav", 1.9, 2.0)  # of which two were asked for
    write(tmp_path / "long.wav", 3.0, 0.0)
    write(tmp_path / "unasked.wav", 1.0, 0.0)
    rows = "file,caption,seconds\nnear.wav,A flute,2\nlong.wav,A flute,2\nunasked.wav,A flute,\n"
    (tmp_path / "prompts.csv").write_text(rows)
    made = read_folder(tmp_path).made
    assert [one.asked_s for one in made] == [2.0, 2.0, None]
    heard_s = (3.9, 3.0, 1.0)
    clips = [
        EstimatedClip(one, sample_of(0).labels.replaced(duration_s=length_s), None)
        for one, length_s in zip(made, heard_s, strict=True)
    ]
    found = sound_report(clips, None, NO_SCORERS, Recipe(), seed=0).length
    assert found is not None
    assert (found.clips, found.median_error_s, found.near, found.longer) == (2, 0.55, 0.5, 0.5)
    assert _length_line(found) == (
        "length 0.55 s from the asked one (median of 2 clips), 50% within half a second, 50% longer"
    )
    assert sound_report(clips[2:], None, NO_SCORERS, Recipe(), seed=0).length is None
