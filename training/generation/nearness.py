"""How near a played piece came to what was asked: judged by the controls that the samples of a
corpus have, measured on its sound; never by what was optimised.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import torch

from pipelines.audio.controls import controls_of
from pipelines.audio.decode import Wave
from pipelines.codecs.layout import for_codec, mono
from pipelines.labels.agreement import majmin_overlap
from schemas.labels import Labels
from training.conditions.clip_controls import ControlCurves
from training.metrics.joins import (
    beat_phase_error_s,
    inner_similarity,
    join_figures,
    seam_similarity,
)
from training.metrics.timeline import dynamics_figures, event_f, melody_accuracy
from training.steering.listening import cepstra_of_waves, similarity_of
from training.steering.losses import smoothed_matrix

_MS: Final = 1000
Figures = Mapping[str, float]


class Nearness(NamedTuple):
    """Lines for a reader, and the figures in them by name."""

    lines: tuple[str, ...]
    figures: Figures


class JudgedSound(NamedTuple):
    """A sound, and what it is held to."""

    wave: Wave
    rate_hz: int
    curves: ControlCurves  # over all of it
    form_NN: torch.Tensor | None = None  # over the part from `start_s` to `end_s`
    is_smooth: bool = True
    start_s: float = 0.0
    end_s: float = 0.0
    joins_s: tuple[float, ...] = ()
    is_loop: bool = False


def nearness(judged: JudgedSound) -> Nearness:
    """Curves, form, joins and loop, each where it was asked for."""
    found = list(_parts(judged))
    lines = tuple(line for line, _ in found)
    return Nearness(lines, {name: value for _, more in found for name, value in more.items()})


def _parts(judged: JudgedSound) -> Iterator[tuple[str, Figures]]:
    wave, rate_hz, curves = judged.wave, judged.rate_hz, judged.curves
    heard = controls_of(wave, rate_hz)
    level = dynamics_figures(curves.dynamics_db, heard.dynamics_db)
    if level is not None:
        shape = "" if level.correlation is None else f", correlation {level.correlation:.2f}"
        figures = {"intensity error, dB": level.error_db}
        if level.correlation is not None:
            figures["intensity correlation"] = level.correlation
        yield f"intensity: {level.error_db:.1f} dB off (root mean square){shape}", figures
    right = melody_accuracy(curves.melody, heard.melody)
    if right is not None:
        yield f"melody: {right:.0%} of the frames as asked", {"melody accuracy": right}
    if judged.form_NN is not None:
        apart = form_distance(judged)
        yield f"form: {apart:.3f} from the one asked (mean square)", {"form distance": apart}
    for one in join_figures(wave, rate_hz, judged.joins_s):
        word = "nothing sticks out" if one.is_free else "it sticks out"
        yield (
            f"join at {one.at_s:.2f} s: {word} (flux {one.flux_db:.1f} dB, 95 % of the piece below "
            f"{one.limit_db:.1f})",
            {f"join flux over limit at {one.at_s:.2f} s": one.flux_db / max(one.limit_db, 1e-6)},
        )
    if judged.is_loop:
        alike, usual = seam_similarity(wave, rate_hz), inner_similarity(wave, rate_hz)
        yield (
            f"loop: end and start {alike:.2f} alike; neighbours within it {usual:.2f}",
            {"seam similarity": alike, "inner similarity": usual},
        )


def form_distance(judged: JudgedSound) -> float:
    """Mean squared error of the self-similarity of the sound, in the part that has a form."""
    assert judged.form_NN is not None
    rate_hz = judged.rate_hz
    first, last = round(judged.start_s * rate_hz), round(judged.end_s * rate_hz)
    heard_NN = heard_form(judged.wave[first:last], rate_hz, smooth=judged.is_smooth)
    frames = min(len(heard_NN), len(judged.form_NN))
    wanted_NN = judged.form_NN[:frames, :frames].to(heard_NN)
    return round(float((heard_NN[:frames, :frames] - wanted_NN).square().mean()), 4)


def heard_form(wave: Wave, rate_hz: int, *, smooth: bool) -> torch.Tensor:
    """The self-similarity of a sound, (N, N) at 10 Hz."""
    waves_BS = mono(for_codec([np.asarray(wave, np.float32)]))
    with torch.no_grad():
        heard_BNN = similarity_of(cepstra_of_waves(waves_BS, rate_hz))
        return (smoothed_matrix(heard_BNN) if smooth else heard_BNN)[0]


def label_nearness(
    asked: Labels, heard: Labels, *, chords: bool, beats: bool, is_loop: bool
) -> Nearness:
    """Chords and beats, by annotators, where no net was told them; the beats of a loop."""
    lines, figures = list[str](), dict[str, float]()
    overlap = majmin_overlap(asked.chords, heard.chords) if chords else None
    if overlap is not None:
        lines.append(f"chords: as asked for {overlap:.0%} of the time by root and third")
        figures["chord overlap"] = overlap
    hits = event_f(asked.beats.times_s, heard.beats.times_s) if beats else None
    if hits is not None:
        lines.append(f"beats: F {hits:.2f} within 70 ms")
        figures["beat F"] = hits
    astray_s = beat_phase_error_s(heard.beats.times_s, heard.duration_s) if is_loop else None
    if astray_s is not None:
        lines.append(f"loop: beats go on over the seam within {_MS * astray_s:.0f} ms")
        figures["beat phase error, ms"] = _MS * astray_s
    return Nearness(tuple(lines), figures)
