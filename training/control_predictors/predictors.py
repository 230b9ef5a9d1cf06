"""Trained predictors, ready to answer what a caption leaves open.

Shapes: B sequences that are drawn at once, L tokens of text, D width of a state, H hints, C chords
of a sequence, K classes.
"""

from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from pipelines.captioning.tempo_words import BpmRange
from pipelines.trust.trusted import check_trust
from schemas.identity import keyed_rng
from schemas.pitch import Key, Mode
from training.conditions.tokens import Tokens
from training.control_predictors.hints import Features, beat_features, chord_features, stated_by
from training.control_predictors.nets import ChordRows, Guess, PredictorNets
from training.control_predictors.recipe import PredictorRecipe
from training.control_predictors.targets import (
    CHORDS,
    MAX_SEGMENTS,
    METERS,
    MODES,
    TEMPOS,
    Step,
    class_bpm,
)
from training.control_predictors.visits import chord_rows
from training.diffusion.text_encoder import TextCache, open_text_encoder
from training.errors import TrainingError
from training.metrics.matching import matches_in_any_order
from training.prompt_controls.corpus import above
from training.prompt_controls.grid import Grid
from training.prompt_controls.predicting import PredictedChord, PredictionRequest
from training.run.checkpoints import MODEL, RECIPE, find_checkpoint
from training.run.model_weights import check_shapes
from training.run.recipe import foreign_names

_CACHE_MB: Final = 16  # a caption's states serve several answers
_SAMPLED: Final = 24
_SHOWN: Final = 80  # characters of an encoder's name

Shares = npt.NDArray[np.float64]


class Predictors(NamedTuple):
    """The weights of a training, as `resolve_controls` of prompt_controls takes them."""

    name: str
    recipe: PredictorRecipe
    nets: PredictorNets
    states: TextCache

    @classmethod
    def of(cls, target: str) -> Self:
        """Those of a folder that `learn` wrote.

        Raises `TrainingError` where it holds none, or the text encoder is another.
        """
        checkpoint = find_checkpoint(target, files=(MODEL, RECIPE))
        try:
            recipe = PredictorRecipe.model_validate(checkpoint.json(RECIPE))
        except ValidationError as error:
            raise TrainingError(
                f"{checkpoint.name} holds no predictors, perhaps a model that plays: `obbligato "
                "train predictors` trains them"
            ) from error
        check_trust(checkpoint.run, foreign_names(recipe.text))
        encoder = open_text_encoder(
            recipe.text.source, "cpu", recipe.text.max_tokens, recipe.text.encoder
        )
        trained_with = checkpoint.state().text
        if encoder.identity != trained_with:
            raise TrainingError(
                f"{checkpoint.name} reads states of {trained_with[:_SHOWN]!r}, "
                f"but here is {encoder.identity}"
            )
        weights = checkpoint.weights(MODEL)
        # no more memory is taken than the weights have numbers, whatever the recipe says
        with torch.device("meta"):
            check_shapes(PredictorNets(recipe.model, encoder.width), weights, checkpoint.name)
        nets = PredictorNets(recipe.model, encoder.width)
        nets.load_state_dict(weights)
        return cls(checkpoint.name, recipe, nets.eval(), TextCache(encoder, _CACHE_MB))

    def meter(self, request: PredictionRequest, rng: np.random.Generator | None) -> int:
        """Beats per bar: the likeliest, or one drawn."""
        known = stated_by(request.requested, request.duration_s)
        return METERS[
            _picked(self._shares(self.nets.meter, request, beat_features(known, known.meter)), rng)
        ]

    def tempo(
        self,
        request: PredictionRequest,
        beats_per_bar: int,
        *,
        span: BpmRange,
        least_bpm: float,
        rng: np.random.Generator | None,
    ) -> float | None:
        """The median of the tempos that are allowed, which has the least error on average, or one
        drawn; in whole BPM.
        """
        known = stated_by(request.requested, request.duration_s)
        shares = self._shares(self.nets.tempo, request, beat_features(known, beats_per_bar))
        bpms = np.asarray([class_bpm(tempo) for tempo in range(TEMPOS)])
        low_bpm = max(span.low, least_bpm)
        shares = np.where((bpms >= low_bpm) & (bpms < span.high), shares, 0)
        if not shares.any():
            return None
        tempo = _median(shares) if rng is None else float(_picked(shares, rng))
        bpm = float(round(class_bpm(tempo)))
        return bpm if low_bpm <= bpm < span.high else None

    def mode(self, request: PredictionRequest, rng: np.random.Generator | None) -> Mode:
        """The mode: the likelier, or one drawn."""
        return MODES[_picked(self._shares(self.nets.mode, request, np.zeros(0, np.float32)), rng)]

    def chords(
        self, request: PredictionRequest, key: Key, grid: Grid, rng: np.random.Generator | None
    ) -> tuple[PredictedChord, ...]:
        """Chords to the end of a grid: drawn ones, or of several drawn ones those that have most in
        common with the others.

        The likeliest chord after the likeliest chord is a progression that hardly anything goes by;
        what has most in common with what may come is least wrong (minimum Bayes risk: Kumar and
        Byrne 2004).
        """
        if rng is not None:
            return self._written(self._sampled(request, key.mode, grid, rng, 1)[0], key)
        own = keyed_rng(0, request.caption, "chords in common")
        sequences = self._sampled(request, key.mode, grid, own, _SAMPLED)
        best = most_in_common([_tokens(steps) for steps in sequences])
        return self._written(sequences[best], key)

    @torch.no_grad()
    def _sampled(
        self,
        request: PredictionRequest,
        mode: Mode,
        grid: Grid,
        rng: np.random.Generator,
        count: int,
    ) -> list[list[Step]]:
        """So many sequences that fill a grid, each chord another than the one before it."""
        net, states_BLD, mask_BL = self.nets.chords, *self.states.encode([request.caption])[:2]
        hints_H = torch.from_numpy(chord_features(grid.bpm, grid.beats_per_bar, MODES.index(mode)))
        sequences: list[list[Step]] = [[] for _ in range(count)]
        while going := [steps for steps in sequences if _beats(steps) < len(grid.times_s)]:
            rows = len(going)
            for steps in going:
                steps.append(Step(0, None, grid.numbers[_beats(steps)]))
            text, hints_BH = (
                Tokens(states_BLD.expand(rows, -1, -1), mask_BL.expand(rows, -1)),
                hints_H.expand(rows, -1),
            )
            reached = net.reached(text, hints_BH, _ends(going))
            for steps, next_K in zip(going, net.say(reached.states_BCW[_last(going)]), strict=True):
                if len(steps) > 1:
                    next_K[steps[-2].token] = -torch.inf
                steps[-1] = steps[-1]._replace(token=_picked(_shares(next_K), rng))
            for steps, length_K in zip(
                going, net.lengths(reached, _ends(going).tokens_BC)[_last(going)], strict=True
            ):
                steps[-1] = steps[-1]._replace(beats=1 + _picked(_shares(length_K), rng))
        return sequences

    def _written(self, steps: Sequence[Step], key: Key) -> tuple[PredictedChord, ...]:
        return tuple(
            PredictedChord(above(key.tonic, CHORDS[one.token]), one.beats or 1) for one in steps
        )

    def _text(self, request: PredictionRequest) -> Tokens:
        return self.states.encode([request.caption])

    @torch.no_grad()
    def _shares(self, net: Guess, request: PredictionRequest, hints_H: Features) -> Shares:
        return _shares(net(self._text(request), torch.from_numpy(hints_H)[None])[0])


def most_in_common(sequences: Sequence[Sequence[Hashable]]) -> int:
    """The index of the sequence that shares most with the others, in any order, for its and their
    length; of equals the first.

    >>> most_in_common(["abc", "abd", "xyz", "abcd"])
    3
    """

    def shared(one: Sequence[Hashable]) -> float:
        return sum(
            2 * matches_in_any_order(one, other) / (len(one) + len(other)) for other in sequences
        )

    return max(range(len(sequences)), key=lambda index: (shared(sequences[index]), -index))


def _tokens(steps: Sequence[Step]) -> list[int]:
    return [one.token for one in steps]


def _beats(steps: Sequence[Step]) -> int:
    return sum(one.beats or 0 for one in steps)


def _ends(sequences: Sequence[Sequence[Step]]) -> ChordRows:
    """The last chords of each, no more than were learned at a time."""
    return chord_rows([steps[-MAX_SEGMENTS:] for steps in sequences])


def _last(sequences: Sequence[Sequence[Step]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Where in a batch each sequence ends."""
    return torch.arange(len(sequences)), torch.tensor(
        [min(len(steps), MAX_SEGMENTS) - 1 for steps in sequences]
    )


def _shares(logits_K: torch.Tensor) -> Shares:
    return np.asarray(logits_K.double().softmax(0).numpy())


def _picked(shares: Shares, rng: np.random.Generator | None) -> int:
    """The index of the largest share, or one drawn by shares, which need not sum up to 1."""
    if rng is None:
        return int(shares.argmax())
    return min(
        int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum(), side="right")),
        len(shares) - 1,
    )


def _median(shares: Shares) -> float:
    """The index with half of the shares below, each spread over half a step to both sides.

    >>> _median(np.asarray([0.0, 1.0, 1.0, 0.0])), _median(np.asarray([0.0, 1.0, 0.0]))
    (1.5, 1.0)
    """
    below, half = np.cumsum(shares), shares.sum() / 2
    index = int(np.searchsorted(below, half))
    before = below[index - 1] if index else 0.0
    return float(index - 0.5 + (half - before) / shares[index])
