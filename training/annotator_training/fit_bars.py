"""Train the networks that read beats as bars, with the harmony network as it stands.

    python -m training.annotator_training.fit_bars FOLDER [FOLDER …]

A FOLDER is one that `practice` made, of pieces that the harmony network was not trained on
(`--first 10000`). What the accent and harmony networks find is kept beside the pieces: about 0.2 s
of one core for each.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import soundfile as sf
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pipelines.annotators import WEIGHTS_FOLDER
from pipelines.annotators.accents import accent_ear
from pipelines.annotators.bar_lines import PATHS, WEIGHTS, features_of
from pipelines.annotators.bar_net import (
    ACCENT_FPS,
    METERS,
    Accents,
    BarNet,
    BarNets,
    bar_phases,
    phase_scores,
)
from pipelines.annotators.bar_tracker import BarTracker
from pipelines.annotators.harmony import harmony_ear
from pipelines.annotators.network_weights import write_weights
from pipelines.labels.agreement import BEAT_WINDOW_S, f_measure
from training.annotator_training.practice import pieces

_ROUNDS: Final = 6
_BATCH: Final = 32
_RATE: Final = 2e-3
_HELD_OUT: Final = 20
_AT_ONCE: Final = 8  # pieces per call of the ears
_RIGHT: Final = 0.9  # F-measure from which a path is right
_CLIP_S: Final = 12.5
_UNKNOWN: Final = -1.0
_NO_TARGET: Final = -1


class BeatPath(NamedTuple):
    """One path through one piece's beats."""

    piece: int
    features_NF: torch.Tensor
    downbeat_N: torch.Tensor  # 1, 0, or -1 where no true beat is near
    meter: int
    first: int | None  # number of the first downbeat; none where the path does not keep to the bars
    right: float


def store_accents(folder: Path) -> None:
    """Store the accents of all pieces that have none yet; several at once cost a fraction."""
    missing = [
        piece.name for piece in pieces(folder) if not _accents_path(folder, piece.name).exists()
    ]
    for start in range(0, len(missing), _AT_ONCE):
        names = missing[start : start + _AT_ONCE]
        waves = [sf.read(folder / f"{name}.flac", dtype="float32")[0] for name in names]
        for name, accents in zip(names, accent_ear("cpu")(waves), strict=True):
            np.savez(
                _accents_path(folder, name),
                activations=accents.activations.astype(np.float16),
                flux=accents.flux.astype(np.float16),
            )


def _accents_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.accents.npz"


def load_accents(folder: Path, name: str) -> Accents:
    """Stored accents of a piece."""
    with np.load(_accents_path(folder, name)) as arrays:
        return Accents(arrays["activations"].astype(np.float32), arrays["flux"].astype(np.float32))


def examples(folder: Path) -> list[BeatPath]:
    """The tracker's paths of all pieces; every other piece is cut to a ten-second clip's window."""
    store_accents(folder)
    trackers, found = [BarTracker((meter,), 55.0, 215.0) for meter in PATHS], []
    for number, piece in enumerate(pieces(folder)):
        wave, rate_hz = sf.read(folder / f"{piece.name}.flac", dtype="float32")
        seconds = _CLIP_S if number % 2 else len(wave) / rate_hz
        [harmony] = harmony_ear("cpu")([wave[: round(seconds * rate_hz)]])
        accents = Accents(
            *(part[: round(seconds * ACCENT_FPS)] for part in load_accents(folder, piece.name))
        )
        truth = piece.beats[piece.beats[:, 0] < seconds]
        for [path] in (tracker([accents.activations]) for tracker in trackers):
            if len(path.beats) >= 4 and len(truth) >= 4:
                features = torch.from_numpy(features_of(path, accents, harmony))
                right = float(
                    (f_measure(truth[:, 0].tolist(), path.beats[:, 0].tolist()) or 0.0) >= _RIGHT
                )
                targets = _targets(path.beats[:, 0], truth)
                found.append(
                    BeatPath(
                        number,
                        features,
                        targets,
                        piece.meter,
                        _first(targets, piece.meter) if right else None,
                        right,
                    )
                )
    return found


def _targets(times_s: np.ndarray, truth: np.ndarray) -> torch.Tensor:
    away = np.abs(times_s[:, None] - truth[:, 0])
    targets = np.where(
        away.min(axis=1) < BEAT_WINDOW_S, truth[away.argmin(axis=1), 1] == 1, _UNKNOWN
    )
    return torch.from_numpy(targets.astype(np.float32))


def _first(targets: torch.Tensor, meter: int) -> int | None:
    downbeats = torch.nonzero(targets == 1)[:, 0] % meter
    return int(downbeats[0]) if len(downbeats) and bool((downbeats == downbeats[0]).all()) else None


def loss_of(network: BarNet, rows: Sequence[BeatPath], beats: int) -> torch.Tensor:
    """Cross entropies of bar lines, meter, beats and rightness over `beats` beats an example."""
    starts = [int(torch.randint(len(row.downbeat_N) - beats + 1, ())) for row in rows]
    features = torch.stack(
        [row.features_NF[start : start + beats] for row, start in zip(rows, starts, strict=True)]
    )
    downbeat = torch.stack(
        [row.downbeat_N[start : start + beats] for row, start in zip(rows, starts, strict=True)]
    )
    right = torch.tensor([row.right for row in rows])
    logits = network(features + 0.1 * network.spread_F * torch.randn_like(features))
    known = ((downbeat != _UNKNOWN) & (right[:, None] > 0)).float()
    single = binary_cross_entropy_with_logits(
        logits.downbeat, downbeat.clamp(min=0), weight=known, reduction="sum"
    )
    possible = bar_phases(METERS)
    targets = [
        _NO_TARGET
        if row.first is None
        else possible.index((row.meter, (row.first - start) % row.meter))
        for row, start in zip(rows, starts, strict=True)
    ]
    loss = 0.3 * single / known.sum().clamp(min=1) + 0.3 * binary_cross_entropy_with_logits(
        logits.right, right
    )
    if any(target != _NO_TARGET for target in targets):
        meters = [_NO_TARGET if row.first is None else METERS.index(row.meter) for row in rows]
        loss = loss + cross_entropy(
            phase_scores(logits, METERS), torch.tensor(targets), ignore_index=_NO_TARGET
        )
        loss = loss + 0.3 * cross_entropy(
            logits.meter, torch.tensor(meters), ignore_index=_NO_TARGET
        )
    return loss


@torch.inference_mode()
def accuracies(network: BarNet | BarNets, rows: Sequence[BeatPath]) -> str:
    """Shares of clips whose meter and bar lines are right, and of paths told right from wrong."""
    network.eval()
    outputs = [network(row.features_NF[None]) for row in rows]
    paths_right = np.mean(
        [bool(out.right[0] > 0) == bool(row.right) for out, row in zip(outputs, rows, strict=True)]
    )
    barred = [
        (out, row)
        for out, row in zip(outputs, rows, strict=True)
        if row.first is not None and row.meter in PATHS
    ]
    estimated = [bar_phases(PATHS)[int(phase_scores(out, PATHS)[0].argmax())] for out, _ in barred]
    bars_right = np.mean(
        [one == (row.meter, row.first) for one, (_, row) in zip(estimated, barred, strict=True)]
    )
    network.train()
    return f"bars {bars_right:.4f}, paths {paths_right:.4f}"


def train(rows: Sequence[BeatPath]) -> BarNet:
    """One network; its beginning is drawn."""
    network = BarNet()
    everything = torch.cat([row.features_NF for row in rows])
    network.mean_F, network.spread_F = everything.mean(0), everything.std(0) + 1e-3
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=2e-2)
    steps = _ROUNDS * (len(rows) // _BATCH)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = (
                _RATE
                * min(1, (step + 1) / 100)
                * (0.5 * (1 + np.cos(np.pi * step / steps)) + 0.005)
            )
        beats = int(torch.randint(8, 37, ()))
        sampled = [rows[int(index)] for index in torch.randint(len(rows), (4 * _BATCH,))]
        optimiser.zero_grad()
        loss = loss_of(
            network, [row for row in sampled if len(row.downbeat_N) >= beats][:_BATCH], beats
        )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    return network


def main() -> None:
    """Train on a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", default=str(WEIGHTS_FOLDER / WEIGHTS))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rows = [row for folder in arguments.folders for row in examples(folder)]
    held_out = [row for row in rows if row.piece % _HELD_OUT == 0]
    used = [row for row in rows if row.piece % _HELD_OUT != 0]
    together = BarNets()
    together.networks = torch.nn.ModuleList(train(used) for _ in together.networks)
    print(f"held out: {accuracies(together, held_out)}; used: {accuracies(together, used[:500])}")  # noqa: T201
    write_weights(arguments.out, together.state_dict())


if __name__ == "__main__":
    main()
