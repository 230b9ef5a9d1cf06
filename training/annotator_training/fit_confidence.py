"""Fit what turns evidence into confidence, and how much the key's second witness weighs.

    python -m training.annotator_training.fit_confidence FOLDER [FOLDER …] --nothing FOLDER

The folders hold clips with their truth (see `known_truth`) that no network was trained on, as like
the music to come as can be had: practice pieces are wider than real music, and labels are less
often right on them. The last holds audio of which every label is wrong: speech. Noise is made here.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from pipelines.annotators import RATE_HZ, WEIGHTS_FOLDER
from pipelines.annotators.batch import WaveBatch
from pipelines.annotators.chords import chord_path
from pipelines.annotators.confidence import FITTED, chords_evidence, rhythm_evidence
from pipelines.annotators.default import read_bars
from pipelines.annotators.harmony import Floats, key_class
from pipelines.annotators.keys import vote
from pipelines.audio.decode import Wave, read_window, resampled
from pipelines.labels.transform import tempo_bpm
from schemas.pitch import Key
from schemas.recipe import AnnotateRecipe
from training.annotator_training.known_truth import ClipTruth, Estimate, clips, scores

_CLIP_S: Final = 12.5
_NOISES: Final = 60
_FIGURE: Final = {"chords": "sevenths"}  # where a label's figure has another name
_NOTHING: Final = ClipTruth(np.empty((0, 2)), None, None, None, ())
_PULL: Final = 1e-3  # of the weights towards zero


class Observed(NamedTuple):
    """What was seen of one clip: evidence and outcome of each label, the key's witnesses."""

    evidence: dict[str, dict[str, float]]
    outcome: dict[str, float]
    witnesses: tuple[Floats, int, int] | None  # the network's log probabilities, the vote, the key


def observed(wave: Wave, truth: ClipTruth) -> Observed:
    """Run the annotators on a clip."""
    batch = WaveBatch([wave], AnnotateRecipe())
    [harmony], [reading] = batch.harmony, read_bars(batch)
    bars, seconds = reading.bars, len(wave) / RATE_HZ
    path = chord_path(harmony, () if bars is None else tuple(bars.times_s.tolist()))
    evidence = {"chords": chords_evidence(harmony, path.classes)}
    estimate = Estimate(
        chords=[(span.start_s, span.end_s, span.label) for span in path.segments(seconds)]
    )
    if bars is not None:
        evidence |= dict.fromkeys(
            ("beats", "downbeats", "meter", "tempo"),
            rhythm_evidence(bars, reading.accents, harmony),
        )
        beats = np.column_stack([bars.times_s, bars.numbers])
        estimate = estimate._replace(
            beats=beats,
            numbered=True,
            meter=bars.beats_per_bar,
            bpm=tempo_bpm(bars.times_s.tolist()),
        )
    figures = scores(truth, estimate)
    outcome = {
        label: figures[_FIGURE.get(label, label)]
        for label in evidence
        if _FIGURE.get(label, label) in figures
    }
    keys = [Key.parse(name) for name in truth.keys]
    witnesses = (harmony.key, vote(wave), key_class(keys[0])) if len(keys) == 1 else None
    return Observed(evidence, outcome, witnesses)


def nothing(wave: Wave) -> Observed:
    """A clip of which every label is wrong."""
    seen = observed(wave, _NOTHING)
    return Observed(seen.evidence, dict.fromkeys(seen.evidence, 0.0), None)


def noises() -> Iterator[Wave]:
    """White to brown noise, loud and soft, with and without hum and clicks."""
    for number in range(_NOISES):
        rng = np.random.default_rng([1, number])
        size = round(_CLIP_S * RATE_HZ)
        spectrum = np.fft.rfft(rng.standard_normal(size)) / np.maximum(
            np.arange(size // 2 + 1), 1
        ) ** rng.uniform(0, 1)
        wave = np.fft.irfft(spectrum, size)
        wave = wave / np.abs(wave).max() * 10 ** rng.uniform(-2.5, -0.2)
        if number % 4 == 1:
            wave = wave + 0.1 * np.sin(
                2 * np.pi * rng.choice([50, 60, 100]) * np.arange(size) / RATE_HZ
            )
        if number % 4 == 2:
            wave[rng.integers(size, size=int(rng.integers(1, 20)))] += 0.5
        yield np.clip(wave, -1, 1).astype(np.float32)


def logistic(evidence: list[dict[str, float]], outcome: list[float]) -> dict[str, float]:
    """Weights of the evidence, and bias, of a logistic regression with outcomes in 0 to 1."""
    names = sorted(evidence[0])
    x = torch.from_numpy(np.array([_values(row, names) for row in evidence], np.float64))
    y = torch.tensor(outcome, dtype=torch.float64)
    mean, spread = x.mean(0), x.std(0) + 1e-6
    weights = torch.zeros(len(names) + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (x - mean) / spread @ weights[:-1] + weights[-1]
        value = (
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
            + _PULL * weights[:-1].square().sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    scaled = weights.detach()[:-1] / spread
    bias = float(weights.detach()[-1] - (scaled * mean).sum())
    return {
        "bias": round(bias, 5),
        **{name: round(float(weight), 5) for name, weight in zip(names, scaled, strict=True)},
    }


def _values(row: dict[str, float], names: list[str]) -> list[float]:
    return [row[name] for name in names]


def vote_weight(rows: list[tuple[Floats, int, int]]) -> float:
    """How much the vote adds to a key's log probability, by greatest likelihood; the network's own
    stands as it was trained.
    """
    logs = torch.from_numpy(np.stack([row[0] for row in rows])).double()
    voted = torch.nn.functional.one_hot(torch.tensor([row[1] for row in rows]), 24).double()
    truth = torch.tensor([row[2] for row in rows])
    candidates = torch.linspace(0, 2, 201, dtype=torch.float64)
    losses = [
        float(torch.nn.functional.cross_entropy(logs + weight * voted, truth))
        for weight in candidates
    ]
    return round(float(candidates[int(np.argmin(losses))]), 2)


def main() -> None:
    """Fit on folders of clips with their truth, and one of speech."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--nothing", type=Path, required=True)
    parser.add_argument("--out", default=str(WEIGHTS_FOLDER / FITTED))
    arguments = parser.parse_args()
    seen = [
        observed(clip.wave, clip.truth) for folder in arguments.folders for clip in clips(folder)
    ]
    for path in sorted(arguments.nothing.iterdir()):
        audio = read_window(str(path), 0.0, _CLIP_S)
        seen.append(nothing(resampled(audio.wave, audio.rate_hz, RATE_HZ)))
    seen += [nothing(wave) for wave in noises()]
    fitted: dict[str, dict[str, float]] = {}
    for label in ("beats", "downbeats", "meter", "tempo", "chords"):
        rows = [row for row in seen if label in row.outcome]
        evidence = [row.evidence[label] for row in rows]
        fitted[label] = logistic(evidence, [row.outcome[label] for row in rows])
    fitted["key"] = {
        "vote": vote_weight([row.witnesses for row in seen if row.witnesses is not None])
    }
    Path(arguments.out).write_text(json.dumps(fitted, indent=1) + "\n")


if __name__ == "__main__":
    main()
