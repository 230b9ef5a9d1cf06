"""Train the network that estimates chords, bass and key.

    python -m training.annotator_training.fit_harmony FOLDER --minutes 40

FOLDER is one that `practice` made. About as long again on the first run, for the spectra.
"""

import argparse
import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import soundfile as sf
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pipelines.annotators import WEIGHTS_FOLDER
from pipelines.annotators.harmony import (
    NO_BASS,
    NO_CHORD_CLASS,
    QUALITIES,
    WEIGHTS,
    HarmonyLogits,
    HarmonyNet,
    chord_class,
)
from pipelines.annotators.network_weights import write_weights
from pipelines.annotators.pitch_spectrum import BINS_PER_SEMITONE, FPS, PITCH_BINS, PitchSpectrum
from schemas.chord import Chord
from training.annotator_training.practice import PIECE_S, pieces

_FRAMES: Final = round(PIECE_S * FPS)
_CROP: Final = 100  # frames of a training example: ten seconds
_BATCH: Final = 24
_RATE: Final = 2.5e-3
_HELD_OUT: Final = 20  # every 20th piece is for validation
_NO_KEY: Final = -1


class Examples(NamedTuple):
    """Pieces as the network sees them. Shapes: N pieces, T frames, P pitch bins."""

    spectra_NTP: torch.Tensor  # half precision
    chord_NT: torch.Tensor
    bass_NT: torch.Tensor
    key_N: torch.Tensor

    def taken(self, indices: torch.Tensor, start: int = 0) -> "Examples":
        """Some pieces, ten seconds of each."""
        part = slice(start, start + _CROP)
        return Examples(
            self.spectra_NTP[indices, part].float(),
            self.chord_NT[indices, part],
            self.bass_NT[indices, part],
            self.key_N[indices],
        )

    def turned(self, semitones: int) -> "Examples":
        """The same music higher or lower."""
        transposed = torch.roll(self.spectra_NTP, BINS_PER_SEMITONE * semitones, dims=2)
        if semitones > 0:
            transposed[:, :, : BINS_PER_SEMITONE * semitones] = 0
        elif semitones < 0:
            transposed[:, :, BINS_PER_SEMITONE * semitones :] = 0
        size = len(QUALITIES)
        chord = torch.where(
            self.chord_NT < NO_CHORD_CLASS,
            (self.chord_NT // size + semitones) % 12 * size + self.chord_NT % size,
            self.chord_NT,
        )
        bass = torch.where(self.bass_NT < NO_BASS, (self.bass_NT + semitones) % 12, self.bass_NT)
        key = torch.where(
            self.key_N != _NO_KEY,
            (self.key_N // 2 + semitones) % 12 * 2 + self.key_N % 2,
            self.key_N,
        )
        return Examples(transposed, chord, bass, key)

    def roughened(self) -> "Examples":
        """Noise, loudness and tilt of the spectrum."""
        x = self.spectra_NTP
        x = x + 0.05 * torch.randn_like(x) * torch.rand(1)
        x = (
            x * (1 + 0.2 * (torch.rand(len(x), 1, 1) - 0.5))
            + torch.linspace(-1, 1, PITCH_BINS) * torch.randn(len(x), 1, 1) * 0.3
        )
        return self._replace(spectra_NTP=x)


def examples(folder: Path) -> Examples:
    """All pieces of a folder; the spectra are kept beside them."""
    truths = list(pieces(folder))
    spectra_file = folder / "spectra.npy"
    if not spectra_file.exists():
        spectrum = PitchSpectrum()
        out = np.lib.format.open_memmap(
            spectra_file, "w+", np.float16, (len(truths), _FRAMES, PITCH_BINS)
        )
        with torch.inference_mode():
            for index, piece in enumerate(truths):
                wave, _ = sf.read(folder / f"{piece.name}.flac", dtype="float32")
                out[index] = spectrum(torch.from_numpy(wave)[None])[0].numpy()
        out.flush()
    classes = [piece.classes(_FRAMES, FPS) for piece in truths]
    key_N = torch.tensor([_NO_KEY if piece.key is None else piece.key for piece in truths])
    chord_NT = torch.from_numpy(np.stack([row.chord_T for row in classes]))
    bass_NT = torch.from_numpy(np.stack([row.bass_T for row in classes]))
    return Examples(torch.from_numpy(np.load(spectra_file)), chord_NT, bass_NT, key_N)


def loss_of(logits: HarmonyLogits, truth: Examples, notes: torch.Tensor) -> torch.Tensor:
    """Cross entropies of chord, bass, notes, changes and key, weighed."""
    chord = cross_entropy(
        logits.chord.flatten(0, 1), truth.chord_NT.flatten(), label_smoothing=0.05
    )
    bass = cross_entropy(logits.bass.flatten(0, 1), truth.bass_NT.flatten(), label_smoothing=0.05)
    sounding = binary_cross_entropy_with_logits(logits.notes, notes[truth.chord_NT])
    differs = (truth.chord_NT[:, 1:] != truth.chord_NT[:, :-1]).float()
    either_side = torch.maximum(
        torch.nn.functional.pad(differs, (1, 0)), torch.nn.functional.pad(differs, (0, 1))
    )
    change = binary_cross_entropy_with_logits(logits.change, either_side)
    key = (
        cross_entropy(logits.key, truth.key_N, ignore_index=_NO_KEY)
        if (truth.key_N != _NO_KEY).any()
        else chord.new_zeros(())
    )
    return chord + 0.5 * bass + 0.3 * sounding + 0.3 * change + 0.1 * key


def notes_of_chords() -> torch.Tensor:
    """Which pitch classes sound in each chord class, (157, 12)."""
    notes = torch.zeros(NO_CHORD_CLASS + 1, 12)
    for root in range(12):
        for quality in QUALITIES:
            chord = Chord(root=root, quality=quality)
            notes[chord_class(chord), sorted(chord.pitches)] = 1
    return notes


@torch.inference_mode()
def right_shares(network: HarmonyNet, data: Examples, indices: torch.Tensor) -> str:
    """Shares of frames whose chord and bass are right, and of pieces whose key is."""
    network.eval()
    rows = []
    for part in torch.split(indices, 32):
        truth = data.taken(part)
        logits = network(truth.spectra_NTP)
        sounds, keyed = truth.chord_NT < NO_CHORD_CLASS, truth.key_N != _NO_KEY
        hits = (
            (logits.chord.argmax(-1) == truth.chord_NT)[sounds],
            (logits.bass.argmax(-1) == truth.bass_NT)[sounds],
        )
        rows.append(
            [
                float(hit.float().mean())
                for hit in (*hits, (logits.key.argmax(-1) == truth.key_N)[keyed])
            ]
        )
    network.train()
    return "chord {:.3f}, bass {:.3f}, key {:.3f}".format(*np.mean(rows, axis=0))


def train(data: Examples, minutes: float, out: str) -> None:
    """Train for a time; the weights are stored after each round."""
    network, notes = HarmonyNet(), notes_of_chords()
    everything = torch.arange(len(data.key_N))
    held_out, used = everything[::_HELD_OUT], everything[everything % _HELD_OUT != 0]
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-3)
    began, done, step = time.monotonic(), 0.0, 0
    while done < 1:
        for indices in torch.split(used[torch.randperm(len(used))], _BATCH):
            done = min(1.0, (time.monotonic() - began) / (60 * minutes))
            for group in optimiser.param_groups:
                group["lr"] = (
                    _RATE * min(1, (step + 1) / 100) * (0.5 * (1 + np.cos(np.pi * done)) + 0.01)
                )
            truth = (
                data.taken(indices, int(torch.randint(_FRAMES - _CROP + 1, ())))
                .turned(int(torch.randint(-5, 7, ())))
                .roughened()
            )
            optimiser.zero_grad()
            loss = loss_of(network(truth.spectra_NTP), truth, notes)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            if done >= 1:
                break
        print(  # noqa: T201
            f"{done:.0%}: loss {float(loss):.3f}; {right_shares(network, data, held_out)}",
            flush=True,
        )
        write_weights(out, network.state_dict())


def main() -> None:
    """Train on a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--out", default=str(WEIGHTS_FOLDER / WEIGHTS))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    train(examples(arguments.folder), arguments.minutes, arguments.out)


if __name__ == "__main__":
    main()
