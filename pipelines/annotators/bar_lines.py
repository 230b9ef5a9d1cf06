"""From tracked beats to the beats, bars and meter that a listener would tap: madmom's paths are
read again by the bar network.

The path through bars of three and the one through bars of four may have other beats: both are
compared; then each meter and each phase of the first bar line.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pipelines.annotators.bar_net import (
    METERS,
    Accents,
    BarLogits,
    BarNets,
    bar_features,
    bar_phases,
    downbeat_odds,
    phase_scores,
)
from pipelines.annotators.bar_tracker import Tracked
from pipelines.annotators.harmony import Floats, HarmonyActivations
from pipelines.annotators.network_weights import read_weights

WEIGHTS: Final = "bars.npz"
# meters whose paths are read; the one through bars of two adds nothing to that through four
PATHS: Final = (3, 4)
_LEAST_BEATS: Final = 4  # fewer have no neighbours to be compared with
# How much our networks' log odds of downbeats count, and madmom's beside them: ours see harmony,
# madmom's know drums. Fitted by greatest likelihood on 220 rendered clips (seeds 310-529).
_OURS: Final = 0.29
_MADMOMS: Final = 0.13
# how much a nat of the tracker's log probability counts beside the network's log odds
_PATH_WEIGHT: Final = 0.1


class Bars(NamedTuple):
    """Beats with their numbers, and how sure of them the network is."""

    times_s: npt.NDArray[np.float64]
    numbers: npt.NDArray[np.int64]
    beats_per_bar: int
    right: float  # log odds that these are the beats
    meter: float  # probability of the meter among those looked for
    place: float  # probability of the bar lines' place, given the meter


@torch.inference_mode()
def bars(
    paths: Mapping[int, Tracked],
    accents: Accents,
    harmony: HarmonyActivations,
    meters: Sequence[int],
) -> Bars | None:
    """The likeliest beats, meter and bar lines, given the tracker's path through each meter's bars.

    None of under four beats.
    """
    network, read = _network(), []
    for meter, path in paths.items():
        if len(path.beats) >= _LEAST_BEATS:
            logits = network(torch.from_numpy(features_of(path, accents, harmony))[None])
            read.append(
                (
                    float(logits.right[0]) + _PATH_WEIGHT * path.log_probability_per_meter[meter],
                    meter,
                    path,
                    logits,
                )
            )
    if not read:
        return None
    _, meter, path, logits = max(read, key=lambda row: row[0])
    # Of a meter that the network was not trained on, the tracker's word is all there is.
    meters = tuple(known for known in meters if known in METERS) if meter in METERS else (meter,)
    madmoms_downbeat = torch.from_numpy(downbeat_odds(accents, path.beats[:, 0]))
    combined = logits._replace(
        downbeat=_OURS * logits.downbeat + _MADMOMS * madmoms_downbeat, meter=_OURS * logits.meter
    )
    return _barred(path.beats[:, 0], combined, meters)


def features_of(path: Tracked, accents: Accents, harmony: HarmonyActivations) -> Floats:
    """What the network sees of a path."""
    return bar_features(
        accents, harmony, path.beats[:, 0], (path.beats[:, 1] == 1).astype(np.float32)
    )


def _barred(times_s: npt.NDArray[np.float64], logits: BarLogits, meters: Sequence[int]) -> Bars:
    chances = phase_scores(logits, meters)[0].double().softmax(dim=0).numpy()
    possible = bar_phases(meters)
    meter, first = possible[int(chances.argmax())]
    of_meter = float(
        sum(chance for chance, (other, _) in zip(chances, possible, strict=True) if other == meter)
    )
    numbers = (np.arange(len(times_s)) - first) % meter + 1
    return Bars(
        times_s, numbers, meter, float(logits.right[0]), of_meter, float(chances.max()) / of_meter
    )


@lru_cache(maxsize=1)
def _network() -> BarNets:
    network = BarNets()
    network.load_state_dict(read_weights(WEIGHTS))
    return network.eval()
