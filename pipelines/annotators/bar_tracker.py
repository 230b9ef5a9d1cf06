"""Beats and their numbers in the bar from activations, many clips at once: madmom's
DBNDownBeatTracking, decoded beat by beat.

F. Krebs, S. Böck and G. Widmer, "An efficient state space model for joint tempo and meter
tracking", ISMIR 2015, is the model; S. Böck, F. Krebs and G. Widmer, "Joint beat and downbeat
tracking with recurrent neural networks", ISMIR 2016, its observations. Within a beat the model only
counts frames, so the best path into a beat needs no more than the starts of the beats before it,
and as many frames as the shortest beat has are decoded in one step.

Shapes: B clips, T frames, L beat lengths (J of the beat before), K positions in the bars of all
meters, M meters, n frames of a step, E frames from which a beat may last to a clip's end.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pipelines.errors import PipelineError

# (frames, 2): a beat that is not a downbeat, a downbeat
Activations = npt.NDArray[np.floating[Any]]
# a beat is observed in the first sixteenth of its length: the paper's observation lambda
_OBSERVED_SHARE: Final = 16
_STEADINESS: Final = 100.0  # how much a change of tempo costs: the paper's transition lambda
_TEMPI: Final = 60
# what lies before the first activation of so much, and after the last, is not tracked
_THRESHOLD: Final = 0.05
# one step's scores of 8 clips stay in the cache; each clip of 10 s takes 6 MB
_CLIPS_AT_ONCE: Final = {"cpu": 8, "cuda": 64}


class Tracked(NamedTuple):
    """Beats (time in seconds, number in the bar), and how probable each meter's best path is, in
    nats; empty where none was sought.
    """

    beats: npt.NDArray[np.float64]
    log_probability_per_meter: dict[int, float]


class _Cropped(NamedTuple):
    activations: Activations
    first: int  # the frame of the clip that is this one's first


class _Paths(NamedTuple):
    """All scores of a group of clips, as log probabilities.

    `entered` begins one longest beat before the clips.
    """

    # of the best path that enters position k at frame t - longest, with a beat of length l
    entered_LTKB: torch.Tensor
    # of what is observed in a beat of length l that ends before frame t: no downbeat, a downbeat
    inside_LT2B: torch.Tensor
    frames_B: torch.Tensor


class _Beat(NamedTuple):
    """One beat of each clip: the frame it starts at, its index among the positions, and its
    length's among the lengths.
    """

    start_B: torch.Tensor
    position_B: torch.Tensor
    length_B: torch.Tensor


class BarTracker(torch.nn.Module):
    """Tracks the beats of clips of any lengths, one meter for each.

    A clip's beats do not depend on the other clips.
    """

    lengths_L: torch.Tensor
    observed_L: torch.Tensor
    change_JL: torch.Tensor
    previous_K: torch.Tensor
    number_K: torch.Tensor
    meter_K: torch.Tensor
    downbeat_K: torch.Tensor
    initial_K: torch.Tensor

    def __init__(
        self, meters: Sequence[int], min_bpm: float, max_bpm: float, fps: int = 100
    ) -> None:
        super().__init__()
        lengths_L = _beat_lengths(60 * fps / max_bpm, 60 * fps / min_bpm)
        if lengths_L[0] < 2:
            raise PipelineError(
                f"max_bpm is {max_bpm}, but a beat must last two "
                f"of {fps} frames a second: at most {30 * fps} BPM"
            )
        self.meters, self.fps = tuple(meters), fps
        self.shortest, self.longest = int(lengths_L[0]), int(lengths_L[-1])
        change_JL = _log_change(lengths_L)
        # A beat is at most a third longer or shorter than the one before: the range of lengths
        # before each.
        self._before = [
            (int(js[0]), int(js[-1]) + 1) for js in map(np.flatnonzero, np.isfinite(change_JL).T)
        ]
        beats_K = np.concatenate([np.arange(meter) for meter in meters])
        bars_K, firsts_K = np.repeat(meters, meters), np.arange(len(beats_K)) - beats_K
        tables = {
            "lengths_L": lengths_L,
            "observed_L": -(-lengths_L // _OBSERVED_SHARE),
            "change_JL": change_JL,
            "previous_K": firsts_K + (beats_K - 1) % bars_K,
            "number_K": beats_K + 1,
            "meter_K": np.repeat(np.arange(len(meters)), meters),
            "downbeat_K": (beats_K == 0).astype(np.int64),
            "initial_K": -np.log(bars_K * lengths_L.sum()),  # a clip may begin anywhere in a bar
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(table))

    @torch.inference_mode()
    def forward(self, activations: Sequence[Activations]) -> list[Tracked]:
        """Beats of each clip's activations (frames, 2): none where nothing reaches the threshold or
        no path explains them.
        """
        clips = [_cropped(np.asarray(clip)) for clip in activations]
        found = [Tracked(np.empty((0, 2)), {}) for _ in clips]
        # Clips of like length go together: all of a group are decoded to the longest one's end.
        order = sorted(
            (p for p, clip in enumerate(clips) if clip.activations.any()),
            key=lambda p: len(clips[p].activations),
        )
        at_once = _CLIPS_AT_ONCE.get(self.lengths_L.device.type, 8)
        for start in range(0, len(order), at_once):
            group = order[start : start + at_once]
            for index, tracked in zip(
                group, self._tracked([clips[index] for index in group]), strict=True
            ):
                found[index] = tracked
        return found

    def _tracked(self, clips: Sequence[_Cropped]) -> list[Tracked]:
        device, frames = self.lengths_L.device, [len(clip.activations) for clip in clips]
        densities_T3B = np.zeros((max(frames), 3, len(clips)))
        for index, clip in enumerate(clips):
            densities_T3B[: frames[index], :, index] = _log_densities(clip.activations)
        paths = self._paths(
            torch.from_numpy(densities_T3B).to(device), torch.tensor(frames, device=device)
        )
        scores_BKLE = self._last_beats(paths)
        meters_BM = torch.stack(
            [
                scores_BKLE[:, self.meter_K == m].amax(dim=(1, 2, 3))
                for m in range(len(self.meters))
            ],
            dim=1,
        )
        beats_SB3 = (
            self._walked_back(
                paths, self._best(scores_BKLE, meters_BM.argmax(dim=1), paths.frames_B)
            )
            .cpu()
            .numpy()
        )
        tracked = []
        for index, (clip, scores_M) in enumerate(zip(clips, meters_BM.tolist(), strict=True)):
            beats = (
                _snapped(beats_SB3[:, index], clip, self.fps)
                if max(scores_M) > -np.inf
                else np.empty((0, 2))
            )
            tracked.append(Tracked(beats, dict(zip(self.meters, scores_M, strict=True))))
        return tracked

    def _paths(self, densities_T3B: torch.Tensor, frames_B: torch.Tensor) -> _Paths:
        frames, _, clips = densities_T3B.shape
        step, lengths, positions = self.shortest, len(self.lengths_L), len(self.number_K)
        inside_LT2B = self._inside(densities_T3B)
        entered_LTKB = densities_T3B.new_empty(
            lengths, self.longest + -(-frames // step) * step, positions, clips
        )
        entered_LTKB[:, : self.longest] = self.initial_K[:, None]
        rows = entered_LTKB.view(-1, positions * clips)
        # Of each length, the rows at which those beats begin that end at the first step's frames.
        ends_n = self.longest + torch.arange(step, device=rows.device)
        begins_Ln = (
            torch.arange(lengths, device=rows.device)[:, None] * entered_LTKB.shape[1]
            + ends_n
            - self.lengths_L[:, None]
        )
        for start in range(0, frames, step):
            ended_JnKB = rows.index_select(0, (begins_Ln + start).flatten()).view(
                lengths, step, positions, clips
            )
            ended_JnKB += inside_LT2B[:, start : start + step].index_select(2, self.downbeat_K)
            index = self.longest + start
            entered_LTKB[:, index : index + step] = self._changed(ended_JnKB).index_select(
                2, self.previous_K
            )
        return _Paths(entered_LTKB, inside_LT2B, frames_B)

    def _inside(self, densities_T3B: torch.Tensor) -> torch.Tensor:
        """What is observed in a beat of each length that ends before each frame; before and after
        its clip a beat costs nothing.
        """
        padded_T3B = torch.nn.functional.pad(
            densities_T3B, (0, 0, 0, 0, self.longest, self.longest)
        )
        ends_T = torch.arange(self.longest, len(padded_T3B), device=padded_T3B.device)
        begins_LT = ends_T - self.lengths_L[:, None]
        silences_LT = begins_LT + self.observed_L[:, None]
        sums_T2B = [padded_T3B[:, 1:]]  # over the first frame, two, three … from each on
        while len(sums_T2B) < int(self.observed_L[-1]):
            sums_T2B.append(sums_T2B[-1] + padded_T3B[:, 1:].roll(-len(sums_T2B), 0))
        beat_LT2B = torch.stack(sums_T2B)[self.observed_L[:, None] - 1, begins_LT]
        silent_TB = torch.nn.functional.pad(padded_T3B[:, 0], (0, 0, 1, 0))
        impossible_TB = silent_TB.isinf()
        running_TB = silent_TB.masked_fill(impossible_TB, 0).cumsum(0)
        beat_LT2B += (running_TB[ends_T] - running_TB[silences_LT])[:, :, None]
        if bool(impossible_TB.any()):  # counted apart: infinities have no differences
            count_TB = impossible_TB.cumsum(0)
            beat_LT2B.masked_fill_(
                (count_TB[ends_T] > count_TB[silences_LT])[:, :, None], -torch.inf
            )
        return beat_LT2B

    def _changed(self, ended_JnKB: torch.Tensor) -> torch.Tensor:
        """The best score with which a beat of each length follows."""
        ended = ended_JnKB.flatten(1)
        out = torch.empty_like(ended)
        for length, (low, high) in enumerate(self._before):
            torch.amax(ended[low:high] + self.change_JL[low:high, length, None], 0, out=out[length])
        return out.view_as(ended_JnKB)

    def _last_beats(self, paths: _Paths) -> torch.Tensor:
        """Scores (B, K, L, E) of the whole paths whose last beat starts e frames before the clip's
        last.
        """
        before_E = torch.arange(self.longest, device=paths.frames_B.device)
        start_EB = paths.frames_B - 1 - before_E[:, None]
        clip_B = torch.arange(len(paths.frames_B), device=paths.frames_B.device)
        length_L11 = torch.arange(len(self.lengths_L), device=paths.frames_B.device)[:, None, None]
        end_LEB = start_EB + self.lengths_L[:, None, None]
        entered_LEBK = paths.entered_LTKB[length_L11, start_EB + self.longest, :, clip_B]
        inside_LEB2 = paths.inside_LT2B[length_L11, end_LEB, :, clip_B]
        scores_BKLE = (entered_LEBK + inside_LEB2.index_select(3, self.downbeat_K)).permute(
            2, 3, 0, 1
        )
        return scores_BKLE.masked_fill(before_E >= self.lengths_L[:, None], -torch.inf)

    def _best(
        self, scores_BKLE: torch.Tensor, meter_B: torch.Tensor, frames_B: torch.Tensor
    ) -> _Beat:
        others_BK = self.meter_K != meter_B[:, None]
        flat_B = (
            scores_BKLE.masked_fill(others_BK[:, :, None, None], -torch.inf)
            .flatten(1)
            .argmax(dim=1)
        )
        position_B, length_B, before_B = torch.unravel_index(flat_B, scores_BKLE.shape[1:])
        return _Beat(frames_B - 1 - before_B, position_B, length_B)

    def _walked_back(self, paths: _Paths, beat: _Beat) -> torch.Tensor:
        """Start, number and observed frames of every beat, (beats, B, 3), the last first.

        None are before a clip's first beat.
        """
        clip_B = torch.arange(len(beat.start_B), device=beat.start_B.device)
        lengths_L1 = torch.arange(len(self.lengths_L), device=clip_B.device)[:, None]
        begun_B = torch.zeros_like(clip_B, dtype=torch.bool)
        found = []
        while not bool(begun_B.all()):
            start_B, position_B, length_B = beat
            found.append(
                torch.stack(
                    [
                        start_B,
                        self.number_K[position_B],
                        self.observed_L[length_B].masked_fill(begun_B, 0),
                    ],
                    dim=1,
                )
            )
            begun_B = start_B <= 0
            position_B = self.previous_K[position_B]
            end_B = start_B.clamp(min=0)
            score_JB = paths.entered_LTKB[
                lengths_L1, end_B - self.lengths_L[:, None] + self.longest, position_B, clip_B
            ]
            score_JB = (
                score_JB + paths.inside_LT2B[lengths_L1, end_B, self.downbeat_K[position_B], clip_B]
            )
            length_B = (score_JB + self.change_JL[:, length_B]).argmax(dim=0)
            beat = _Beat(
                torch.where(begun_B, start_B, start_B - self.lengths_L[length_B]),
                position_B,
                length_B,
            )
        return torch.stack(found)


def _cropped(activations: Activations) -> _Cropped:
    """From the first frame that reaches the threshold to the last.

    Nothing where that is the clip's first frame alone, as in madmom.
    """
    loud = (
        np.flatnonzero((activations >= _THRESHOLD).any(axis=1))
        if len(activations)
        else np.empty(0, int)
    )
    return (
        _Cropped(activations[loud[0] : loud[-1] + 1], int(loud[0]))
        if loud.any()
        else _Cropped(activations[:0], 0)
    )


def _log_densities(activations: Activations) -> npt.NDArray[np.float64]:
    """Log densities (frames, 3) of no beat, a beat that is not a downbeat, and a downbeat.

    What cannot be is minus infinity.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        silent = np.log((1 - activations.sum(axis=1)) / (_OBSERVED_SHARE - 1))
        logs = np.column_stack([silent, np.log(activations)]).astype(np.float64)
    return np.where(np.isnan(logs), -np.inf, logs)


def _beat_lengths(shortest: float, longest: float) -> npt.NDArray[np.int64]:
    """Whole frames: all from the shortest beat to the longest, or sixty of them, as evenly spaced
    in tempo as whole frames can be.
    """
    lengths = np.arange(round(shortest), round(longest) + 1)
    count = _TEMPI
    while len(lengths) > _TEMPI or count > _TEMPI:
        spaced = np.unique(
            np.round(np.logspace(np.log2(shortest), np.log2(longest), count, base=2))
        )
        if len(spaced) >= _TEMPI:
            return spaced.astype(np.int64)
        count += 1
    return lengths.astype(np.int64)


def _log_change(lengths_L: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Log probability that a beat of one length (rows) is followed by one of another (columns)."""
    chance = np.exp(-_STEADINESS * np.abs(lengths_L / lengths_L[:, None] - 1))
    chance[chance <= np.finfo(float).eps] = 0
    with np.errstate(divide="ignore"):
        change: npt.NDArray[np.float64] = np.log(chance / chance.sum(axis=1, keepdims=True))
    return change


def _snapped(beats_S3: npt.NDArray[np.int64], clip: _Cropped, fps: int) -> npt.NDArray[np.float64]:
    """Times and numbers of the beats inside the clip, each at the strongest activation of the
    frames it is observed in.
    """
    snapped = []
    for start, number, observed in beats_S3[::-1].tolist():
        span = clip.activations[max(start, 0) : max(start + observed, 0)]
        if observed and len(span):
            snapped.append(((max(start, 0) + int(span.argmax()) // 2 + clip.first) / fps, number))
    return np.array(snapped, np.float64).reshape(-1, 2)
