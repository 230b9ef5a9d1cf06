"""What an upsampler adds to held-out music, beside plain resampling and the music itself.

    python -m tests.benchmarks.training.upsampler_trial SHARDS --out FOLDER --upsampler FOLDER
        [--clips 50] [--pictured 3]

Shards must be of the upsampler's rate or a higher one. Clips are originals of held-out shards,
spread over them; each is brought down to the lower rate and up again. Against the clip, above
the lower rate's upper limit:

- the log-spectral distance: the root mean square over bins of levels in dB, floor 80 dB below full
  scale, mean over frames of 2,048 samples;
- the Fréchet distance of short spectra: levels of 16 even bands, frame by frame over all clips, in
  units of 10 dB; beside that of two halves of the clips themselves.

And below it, how loud the difference is beside what is there. Seconds are of one thread, per second
of sound. Spectrograms of some clips are put side by side in FOLDER: as recorded, resampled, played.
Prints a Markdown table; intervals are 95 %, by bootstrap over clips.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from PIL import Image

from pipelines.audio.decode import Wave, downmixed, resampled
from tests.benchmarks.training.codec_trial import HeldOutClip, beside, held_out_clips, interval
from training.metrics.frechet import frechet_distance
from training.upsampler.play import KEPT, Upsampler, open_upsampler

WINDOW: Final = 2048
FLOOR_DB: Final = -80.0
BANDS: Final = 16
PICTURED_S: Final = 4.0


class Played(NamedTuple):
    """One clip: as recorded, as plain resampling leaves it, as the upsampler plays it."""

    recorded: Wave
    resampled: Wave
    upsampled: Wave
    cost: float  # seconds of one thread for a second of sound


def main() -> None:
    """Measure, and print the table."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="What an upsampler adds to held-out music.")
    parser.add_argument("shards")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--upsampler", required=True)
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--pictured", type=int, default=3)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    upsampler = open_upsampler(given.upsampler)
    clips = list(held_out_clips(given.shards, given.clips))
    played = [_played(clip, upsampler) for clip in clips]
    _print_table(played, upsampler)
    rows = [
        beside([_picture(one) for one in each[:3]], axis=1) for each in played[: given.pictured]
    ]
    Image.fromarray(beside(rows, axis=0)).save(given.out / "spectrograms.png")
    for clip, each in zip(clips[: given.pictured], played, strict=False):
        for name, wave in zip(Played._fields, each[:3], strict=False):
            soundfile.write(given.out / f"{clip.key}-{name}.flac", wave, upsampler.rate_hz)


def _played(clip: HeldOutClip, upsampler: Upsampler) -> Played:
    shape = upsampler.config.net
    wave = downmixed(clip.wave)[0] if clip.wave.ndim == 2 else clip.wave
    recorded = resampled(wave, clip.rate_hz, shape.rate_hz)
    low = resampled(recorded, shape.rate_hz, shape.lower_hz)
    plain = resampled(low, shape.lower_hz, shape.rate_hz)
    begun = time.process_time()
    made = upsampler.played(low, shape.lower_hz, seed=0, key=clip.key)
    cost = (time.process_time() - begun) * shape.rate_hz / len(made)
    samples = min(map(len, (recorded, plain, made)))
    return Played(recorded[:samples], plain[:samples], made[:samples], cost)


def _levels_db(wave: Wave) -> npt.NDArray[np.float64]:
    """Levels of bins in dB of a sine at full scale: (frames, WINDOW / 2 + 1)."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[:: WINDOW // 4]
    spectra = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) * (4 / WINDOW)
    return np.asarray(20 * np.log10(np.maximum(spectra, 10 ** (FLOOR_DB / 20))))


def log_spectral_distance(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Mean over frames of the root mean square over bins, in dB."""
    return float(np.sqrt(np.square(one - other).mean(axis=1)).mean())


def _bands(levels_db: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Levels of even bands in units of 10 dB: (frames, BANDS)."""
    parts = np.array_split(levels_db / 10, BANDS, axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


def _print_table(played: Sequence[Played], upsampler: Upsampler) -> None:
    shape = upsampler.config.net
    edge = round(WINDOW * shape.lower_hz / 2 / shape.rate_hz)  # the first bin that was not given
    kept = KEPT * shape.lower_hz / shape.rate_hz
    levels = [[_levels_db(wave)[:, edge:] for wave in each[:3]] for each in played]
    recorded, plain, made = ([_bands(one[which]) for one in levels] for which in range(3))
    halves = frechet_distance(np.concatenate(recorded[::2]), np.concatenate(recorded[1::2]))
    print(f"\n{len(played)} clips; two halves of them are {halves:.3f} apart\n")
    print(
        f"| {shape.lower_hz} to {shape.rate_hz} Hz | log-spectral distance, dB | Fréchet | change "
        "below, dB | s/s |\n|---|---:|---:|---:|---:|"
    )
    for name, which, bands in (("resampled", 1, plain), ("upsampled", 2, made)):
        apart = [log_spectral_distance(one[0], one[which]) for one in levels]
        distance = frechet_distance(np.concatenate(recorded), np.concatenate(bands))
        below = max(_change_below_db(each, kept) for each in played) if which == 2 else -np.inf
        cost = f"{median(each.cost for each in played):.3f}" if which == 2 else "–"
        print(f"| {name} | {interval(apart, 'distance')} | {distance:.3f} | {below:.1f} | {cost} |")


def _change_below_db(each: Played, kept: float) -> float:
    """How loud, beside plain resampling, what differs from it is below a share of all bins."""
    taper = np.hanning(len(each.resampled))
    plain, other = (np.fft.rfft(taper * one) for one in (each.resampled, each.upsampled))
    own = slice(0, int(kept * len(plain)))
    difference, level = (np.square(np.abs(one[own])).mean() for one in (other - plain, plain))
    return float(10 * np.log10(max(float(difference), 1e-20) / max(float(level), 1e-20)))


def _picture(wave: Wave) -> Any:
    """Levels as grey, low notes below, up to the rate's upper limit."""
    levels_db = _levels_db(wave[: round(PICTURED_S * 24_000)])
    grey = ((levels_db - FLOOR_DB) / -FLOOR_DB).clip(0, 1)[:, ::2] * 255
    return np.ascontiguousarray(grey.astype(np.uint8).T[::-1])


if __name__ == "__main__":
    main()
