"""Visits to samples: a prompt, what it states, and what to learn: only what it leaves open.

Shapes: B samples, H hints, K classes, C chords of a sequence.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch

from schemas.identity import keyed_rng
from schemas.sample import Sample
from training.control_predictors.hints import (
    Features,
    StatedControls,
    as_if_stated,
    beat_features,
    chord_features,
    stated_by,
)
from training.control_predictors.nets import ChordRows, padded_rows
from training.control_predictors.targets import (
    BEGIN,
    METERS,
    MODES,
    NO_CHORD_TOKEN,
    TEMPOS,
    Step,
    Targets,
    targets_of,
    tempo_class,
)
from training.data.prompts import PromptConfig, visit
from training.prompt_controls.requested import read_requested

NOT_LEARNED: Final = -100  # torch's own sign for a target that does not count
_BLUR: Final = 1.0  # places of tempo: an annotator's own error, about 3 %


class Look(NamedTuple):
    """One visit to a sample."""

    song_id: str
    prompt: str
    known: StatedControls
    targets: Targets


class LookBatch(NamedTuple):
    """Looks as tensors; a target that does not count is not learned."""

    prompts: tuple[str, ...]
    meter_hints_BH: torch.Tensor
    meters_B: torch.Tensor
    tempo_hints_BH: torch.Tensor
    tempos_BK: torch.Tensor  # shares, blurred; all zero where it does not count
    modes_B: torch.Tensor
    chord_hints_BH: torch.Tensor
    chords: ChordRows
    next_BC: torch.Tensor  # the chord to be said at each place
    lengths_BC: torch.Tensor  # and its length, from 0 for one beat


def look_at(
    sample: Sample,
    *,
    seed: int,
    epoch: int,
    mean_sentences: float,
    prompts: PromptConfig,
    hinted: float,
) -> Look:
    """A sample with a caption without some sentences; the same seed and epoch, the same look.

    What the caption leaves open is hinted at, each with the chance `hinted`, as if it stated more.
    """
    visited = visit(sample, seed=seed, epoch=epoch, mean_sentences=mean_sentences, config=prompts)
    rng = keyed_rng(seed, sample.key, f"hints in epoch {epoch}")
    known = as_if_stated(
        stated_by(read_requested(visited.prompt), sample.duration_s), sample.labels, hinted, rng
    )
    return Look(sample.song_id, visited.prompt, known, targets_of(sample))


def batched(looks: Sequence[Look]) -> LookBatch:
    """Looks as one batch, what each prompt states left out of what is to be learned."""
    rows = list(map(_chord_steps, looks))
    return LookBatch(
        prompts=tuple(look.prompt for look in looks),
        meter_hints_BH=_stacked(map(_meter_hints, looks)),
        meters_B=torch.tensor(list(map(_meter_target, looks))),
        tempo_hints_BH=_stacked(map(_tempo_hints, looks)),
        tempos_BK=_stacked(map(_tempo_target, looks)),
        modes_B=torch.tensor(list(map(_mode_target, looks))),
        chord_hints_BH=_stacked(map(_chord_hints, looks)),
        chords=chord_rows(rows),
        next_BC=padded_targets(rows, _chord_target),
        lengths_BC=padded_targets(rows, _length_target),
    )


def _meter_hints(look: Look) -> Features:
    return beat_features(look.known, look.known.meter)


def _tempo_hints(look: Look) -> Features:
    """With the meter of the labels: it is decided on before the tempo."""
    return beat_features(look.known, look.targets.meter)


def _meter_target(look: Look) -> int:
    """The class of the meter; not learned where the prompt states it or no label does."""
    if look.known.meter or look.targets.meter is None:
        return NOT_LEARNED
    return METERS.index(look.targets.meter)


def _tempo_target(look: Look) -> Features:
    """Shares of tempos; none where the prompt states the tempo."""
    return blurred(None if look.known.bpm else look.targets.bpm)


def _mode_target(look: Look) -> int:
    """The class of the mode; not learned where the prompt states one, or no label does."""
    if look.known.is_mode or look.targets.mode is None:
        return NOT_LEARNED
    return MODES.index(look.targets.mode)


def _chord_target(step: Step) -> int:
    return NOT_LEARNED if step.token == NO_CHORD_TOKEN else step.token


def _length_target(step: Step) -> int:
    """The class of a length: 0 for one beat."""
    return NOT_LEARNED if step.beats is None else step.beats - 1


def chord_rows(rows: Sequence[Sequence[Step]]) -> ChordRows:
    """Chords as the decoder reads them."""
    tokens = _step_rows(rows, lambda step: step.token)
    return ChordRows(
        previous_BC=padded_rows(list(map(_previous, tokens))),
        tokens_BC=padded_rows(tokens),
        beats_BC=padded_rows(_step_rows(rows, lambda step: step.beats or 0)),
        numbers_BC=padded_rows(_step_rows(rows, lambda step: min(step.number, max(METERS)))),
    )


def _step_rows(rows: Sequence[Sequence[Step]], number: Callable[[Step], int]) -> list[torch.Tensor]:
    """A number of each step, sequence by sequence."""
    return [torch.tensor(list(map(number, row))) for row in rows]


def _previous(tokens_C: torch.Tensor) -> torch.Tensor:
    """What stands before each token of a sequence."""
    return torch.cat([torch.tensor([BEGIN]), tokens_C[:-1]]) if len(tokens_C) else tokens_C


def padded_targets(rows: Sequence[Sequence[Step]], target: Callable[[Step], int]) -> torch.Tensor:
    """Targets (B, C) of steps; what follows a sequence is not learned."""
    longest = max(1, *map(len, rows))
    return torch.tensor([_padded(list(map(target, row)), longest) for row in rows])


def _padded(targets: list[int], length: int) -> list[int]:
    return targets + [NOT_LEARNED] * (length - len(targets))


def blurred(bpm: float | None) -> Features:
    """Shares of the places of tempo around one; none where it is not known."""
    if bpm is None:
        return np.zeros(TEMPOS, np.float32)
    heights = np.exp(-(((np.arange(TEMPOS) - tempo_class(bpm)) / _BLUR) ** 2) / 2)
    return np.asarray(heights / heights.sum(), np.float32)


def _chord_steps(look: Look) -> tuple[Step, ...]:
    """Chords to learn: where nobody states them, and tempo and mode are sure; else none."""
    return look.targets.chords if look.targets.bpm is not None and not look.known.is_chords else ()


def _chord_hints(look: Look) -> Features:
    """Those of the labels; of a sample without them, any: it is not learned from."""
    targets = look.targets
    return chord_features(
        targets.bpm or 120, targets.meter or 4, MODES.index(targets.mode) if targets.mode else 0
    )


def _stacked(rows: Iterable[Features]) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(rows)))
