"""A small network that estimates chords, bass and key in all transpositions alike.

After an octave fold every layer turns with the pitch classes, so that a chord learned on C is known
on all roots. Trained by `training/annotator_training` on practice pieces played by several sound
fonts.

Shapes: B clips, T frames, P pitch bins, C channels, O octaves, 12 pitch classes.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pipelines.annotators.network_weights import read_weights
from pipelines.annotators.pitch_spectrum import BINS_PER_SEMITONE, SEMITONES, PitchSpectrum
from pipelines.audio.decode import Wave
from schemas.chord import Chord, ChordQuality
from schemas.pitch import Key, Mode

Floats = npt.NDArray[np.floating[Any]]
QUALITIES: Final = tuple(ChordQuality)
NO_CHORD_CLASS: Final = 12 * len(QUALITIES)  # the classes are root × quality, then no chord
NO_BASS: Final = 12
WEIGHTS: Final = "harmony.npz"
_OCTAVES: Final = SEMITONES // 12
_CHANNELS: Final = 48
_DILATIONS: Final = (1, 2, 4, 8)
_KEY_FRAMES: Final = 150  # keys are learned on 10 to 15 s: longer audio is read in pieces
# clips at once on a GPU; on a CPU one, which costs the same and gives the same bits in any company
_GPU_GROUP: Final = 32


def chord_class(chord: Chord) -> int:
    """The class of a chord, whatever its bass."""
    return chord.root * len(QUALITIES) + QUALITIES.index(chord.quality)


def key_class(key: Key) -> int:
    """The class of a key: tonic × 2, plus 1 for minor."""
    return 2 * key.tonic + (key.mode is Mode.MINOR)


def key_of_class(number: int) -> Key:
    """The key of a class."""
    return Key(tonic=number // 2, mode=Mode.MINOR if number % 2 else Mode.MAJOR)


class HarmonyLogits(NamedTuple):
    """What the network says, before any softmax."""

    chord: torch.Tensor  # (B, T, 157)
    bass: torch.Tensor  # (B, T, 13): pitch classes, then none
    notes: torch.Tensor  # (B, T, 12): each sounds or not
    change: torch.Tensor  # (B, T): a chord begins or ends
    key: torch.Tensor  # (B, 24): tonic × (major, minor)


class HarmonyActivations(NamedTuple):
    """Activations of one clip, ten frames a second."""

    chord: Floats  # (T, 157) log probabilities
    bass: Floats  # (T, 13) log probabilities
    change: Floats  # (T,) probability
    key: Floats  # (24,) log probabilities


class _AxialBlock(nn.Module):
    """Looks along time within each pitch class, then across them, and adds what it finds."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.time = nn.Conv2d(
            _CHANNELS,
            _CHANNELS,
            (5, 1),
            padding=(2 * dilation, 0),
            dilation=(dilation, 1),
            groups=_CHANNELS,
        )
        self.turn = nn.Conv2d(_CHANNELS, _CHANNELS, (1, 12))
        self.norm = nn.BatchNorm2d(_CHANNELS)
        self.drop = nn.Dropout(0.1)

    def forward(self, x_BCT12: torch.Tensor) -> torch.Tensor:
        timed = self.time(x_BCT12)
        turned = self.turn(torch.cat([timed, timed[..., :11]], dim=-1))
        found: torch.Tensor = self.drop(nn.functional.relu(self.norm(turned)))
        return x_BCT12 + found


class HarmonyNet(nn.Module):
    """Spectrum in, logits out."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Sequential(
            nn.Conv2d(1, 16, (3, 7), padding=(1, 3)),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(
                16, 24, (3, BINS_PER_SEMITONE), stride=(1, BINS_PER_SEMITONE), padding=(1, 0)
            ),
            nn.BatchNorm2d(24),
            nn.ReLU(),
        )
        self.fold = nn.Sequential(
            nn.Conv2d(24 * _OCTAVES, _CHANNELS, 1), nn.BatchNorm2d(_CHANNELS), nn.ReLU()
        )
        self.blocks = nn.Sequential(*(_AxialBlock(dilation) for dilation in _DILATIONS))
        self.chord = nn.Conv2d(_CHANNELS, len(QUALITIES), 1)
        self.bass = nn.Conv2d(_CHANNELS, 1, 1)
        self.notes = nn.Conv2d(_CHANNELS, 1, 1)
        # no chord, no bass, a change: the same in every transposition
        self.toneless = nn.Linear(_CHANNELS, 3)
        self.key = nn.Conv2d(2 * _CHANNELS, 2, 1)

    def forward(self, x_BTP: torch.Tensor) -> HarmonyLogits:
        """Logits of spectra (B, T, P)."""
        x_BCT12 = self.features(x_BTP)
        toneless_BT3 = self.toneless(x_BCT12.mean(dim=3).transpose(1, 2))
        chord = self.chord(x_BCT12).permute(0, 2, 3, 1).flatten(2)
        return HarmonyLogits(
            chord=torch.cat([chord, toneless_BT3[..., :1]], dim=-1),
            bass=torch.cat([self.bass(x_BCT12)[:, 0], toneless_BT3[..., 1:2]], dim=-1),
            notes=self.notes(x_BCT12)[:, 0],
            change=toneless_BT3[..., 2],
            key=self.key_of(x_BCT12),
        )

    def features(self, x_BTP: torch.Tensor) -> torch.Tensor:
        """Features of each frame and pitch class, (B, C, T, 12), whatever the loudness."""
        spread = x_BTP.std(dim=(1, 2), keepdim=True) + 1e-3
        x_BCTS = self.near(((x_BTP - x_BTP.mean(dim=(1, 2), keepdim=True)) / spread).unsqueeze(1))
        x_BCOT12 = x_BCTS.unflatten(3, (_OCTAVES, 12)).permute(0, 1, 3, 2, 4)
        folded: torch.Tensor = self.blocks(self.fold(x_BCOT12.flatten(1, 2)))
        return folded

    def key_of(self, x_BCT12: torch.Tensor) -> torch.Tensor:
        """Key logits (B, 24) of all frames together."""
        pooled_BC12 = torch.cat([x_BCT12.mean(dim=2), x_BCT12.amax(dim=2)], dim=1)
        logits: torch.Tensor = (
            self.key(pooled_BC12.unsqueeze(2))[:, :, 0].transpose(1, 2).flatten(1)
        )
        return logits


class HarmonyEar:
    """Spectrum and trained network on one device."""

    def __init__(self, device: str = "cpu") -> None:
        torch.set_num_threads(1)  # one thread per worker: the same bits on any number of cores
        self.device = device
        self.spectrum = PitchSpectrum().to(device)
        self.network = HarmonyNet()
        self.network.load_state_dict(read_weights(WEIGHTS))
        self.network.eval().to(device)

    @torch.inference_mode()
    def __call__(self, waves: Sequence[Wave]) -> list[HarmonyActivations]:
        """Harmony of each mono wave at 44.1 kHz."""
        size = 1 if self.device == "cpu" else _GPU_GROUP
        by_length: dict[int, list[int]] = {}
        for index, wave in enumerate(waves):
            by_length.setdefault(len(wave), []).append(index)
        activations: dict[int, HarmonyActivations] = {}
        for indices in by_length.values():
            for group in (indices[start : start + size] for start in range(0, len(indices), size)):
                waves_BS = torch.from_numpy(np.stack([waves[index] for index in group])).to(
                    self.device
                )
                activations.update(zip(group, self._activations(waves_BS), strict=True))
        return [activations[index] for index in range(len(waves))]

    def _activations(self, waves_BS: torch.Tensor) -> list[HarmonyActivations]:
        x_BTP = self.spectrum(waves_BS)
        outputs = self.network(x_BTP)
        pieces = x_BTP.tensor_split(-(-x_BTP.shape[1] // _KEY_FRAMES), dim=1)
        keys = (
            [outputs.key]
            if len(pieces) == 1
            else [self.network.key_of(self.network.features(piece)) for piece in pieces]
        )
        key_B24 = torch.stack([key.log_softmax(-1) for key in keys]).mean(0).log_softmax(-1)
        columns = (
            outputs.chord.log_softmax(-1),
            outputs.bass.log_softmax(-1),
            outputs.change.sigmoid(),
            key_B24,
        )
        arrays = [column.cpu().numpy() for column in columns]
        return [HarmonyActivations(*row) for row in zip(*arrays, strict=True)]


@lru_cache(maxsize=1)
def harmony_ear(device: str) -> HarmonyEar:
    """The one network of this process."""
    return HarmonyEar(device)
