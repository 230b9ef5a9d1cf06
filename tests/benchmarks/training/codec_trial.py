"""What codecs leave of held-out music: how near it sounds, what our annotators still hear in it, at
how many numbers a second and what cost.

    python -m tests.benchmarks.training.codec_trial SHARDS --out FOLDER
        --codec mel --codec mel+VOCODER --codec vae=FOLDER --codec wave=FOLDER
        [--clips 50] [--pictured 3]

VOCODER is the folder of a vocoder, which plays in place of Griffin-Lim.

Clips are originals of held-out shards, spread over them. Of each codec's round trip, against the
clip itself in mono at 16 kHz:

- the distance of spectra in windows of 240, 600 and 1200 samples (Yamamoto et al. 2020): spectral
  convergence and mean difference of log magnitudes, floor 80 dB below full scale;
- the Fréchet distance of both sets in the space of `obbligato evaluate` (`bridge`), beside that of
  two halves of the clips themselves, each half as many;
- what our annotators hear in it, held to what they hear in the clip: beats (F within 70 ms), chords
  by root and third and with sevenths, share of equal keys.

Seconds are of one thread, per second of sound, the median over clips. What is measured is kept in
FOLDER, and not measured again; spectrograms of some clips are put side by side in FOLDER. Prints a
Markdown table; intervals are 95 %, by bootstrap over clips.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final, NamedTuple

import numpy as np
import soundfile
import torch
from PIL import Image

from pipelines.audio.decode import Wave, decoded, downmixed, resampled
from pipelines.codecs import Codec, open_codec
from pipelines.codecs.layout import for_codec, for_files, with_channels
from pipelines.codecs.vocoder import open_vocoder, with_vocoder
from pipelines.labels.agreement import f_measure, majmin_overlap
from pipelines.shards.find import find_shards
from schemas.labels import Labels
from schemas.recipe import Recipe
from tests.benchmarks.training.student_trial import Rows
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import estimate
from training.evaluation.originals import held_out, originals
from training.evaluation.spaces import Sounding, sound_vectors
from training.metrics.controls import PromptControls
from training.metrics.frechet import frechet_distance
from training.metrics.intervals import mean_interval
from training.metrics.timeline import ChordRule, chord_overlap
from training.metrics.timing import sounding_spans
from training.run.metrics_log import spectrogram_picture

RATE_HZ: Final = 16_000
CLIP: Final = "as-recorded"
# windows, steps and transforms of Parallel WaveGAN's loss
WINDOWS: Final = ((240, 50, 512), (600, 120, 1024), (1200, 240, 2048))
FLOOR: Final = 1e-4  # of a sine at full scale: 80 dB below
GAP: Final = 6  # pixels between pictures


class HeldOutClip(NamedTuple):
    """A clip as its shard holds it."""

    key: str
    wave: Wave
    rate_hz: int


class TripFigures(NamedTuple):
    """Of each clip that all have, one figure each."""

    distance: list[float]
    beats: list[float]
    majmin: list[float]
    sevenths: list[float]
    keys: list[float]


def main() -> None:
    """Measure, and print the table."""
    torch.set_num_threads(1)
    given = _arguments()
    codecs = [_opened(argument) for argument in given.codec]
    names = [CLIP, *(codec.name for codec in codecs)]
    clips = list(held_out_clips(given.shards, given.clips))
    originals_rows = Rows(given.out, CLIP)
    for clip in clips:
        originals_rows.of(clip.key, partial(_written, clip, given.out))
    for codec in codecs:
        rows = Rows(given.out, codec.name)
        for clip in clips:
            rows.of(clip.key, partial(_tripped, clip, codec, given.out))
    for name in names:
        _annotate(name, clips, Rows(given.out, f"{name}-labels"), given.out)
    _print_table(codecs, clips, given.out)
    _draw(names, clips[: given.pictured], given.out)


class NamedCodec(NamedTuple):
    """A codec, and what it is called with its weights: what is kept is of these."""

    codec: Codec
    name: str


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What codecs leave of held-out music.")
    parser.add_argument("shards")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--codec", action="append", required=True, metavar="NAME[=FOLDER][+VOCODER]"
    )
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--pictured", type=int, default=3)
    return parser.parse_args()


def held_out_clips(shards: str, most: int) -> Iterator[HeldOutClip]:
    """So many originals, as far apart in their shards as there are enough of them."""
    chosen, _ = held_out(find_shards(shards).shards)
    every = max(1, sum(1 for _ in originals(chosen)) // most)
    for number, (raw, _) in enumerate(originals(chosen)):
        if raw.audio and number % every == 0 and number // every < most:
            audio = decoded(raw.content(raw.audio), stereo=True)
            yield HeldOutClip(raw.key, audio.wave, audio.rate_hz)


def _opened(argument: str) -> NamedCodec:
    name, _, vocoder = argument.partition("+")
    kind, _, source = name.partition("=")
    codec = open_codec(kind, source)
    called = f"{codec.facts.name}-{codec.facts.version}"
    if not vocoder:
        return NamedCodec(codec, called)
    opened = open_vocoder(vocoder)
    return NamedCodec(with_vocoder(codec, opened), f"{called}-{opened.name.replace(' ', '-')}")


def _tripped(clip: HeldOutClip, named: NamedCodec, out: Path) -> dict[str, Any]:
    """A clip through a codec, written beside what it cost and how near it sounds."""
    codec, facts = named.codec, named.codec.facts
    wave = with_channels(downmixed(clip.wave)[0] if facts.wave_channels == 1 else clip.wave, facts)
    waves = for_codec([resampled(wave, clip.rate_hz, facts.rate_hz)])
    seconds = waves.shape[-1] / facts.rate_hz
    with torch.no_grad():
        begun = time.process_time()
        latents = codec.encode(waves)
        encoded = time.process_time()
        [made] = for_files(codec.decode(latents)[..., : waves.shape[-1]])
        done = time.process_time()
    soundfile.write(_path(out, named.name, clip.key), made, facts.rate_hz, subtype="PCM_16")
    heard = _ear(made, facts.rate_hz)
    return {
        "distance": spectral_distance(_ear(clip.wave, clip.rate_hz), heard),
        "encode_s": (encoded - begun) / seconds,
        "decode_s": (done - encoded) / seconds,
    }


def _written(clip: HeldOutClip, out: Path) -> dict[str, Any]:
    soundfile.write(_path(out, CLIP, clip.key), clip.wave, clip.rate_hz, subtype="PCM_16")
    return {}


def _ear(wave: Wave, rate_hz: int) -> Wave:
    return resampled(downmixed(wave)[0] if wave.ndim == 2 else wave, rate_hz, RATE_HZ)


def spectral_distance(heard_S: Wave, played_S: Wave) -> float:
    """Mean over windows of spectral convergence and difference of log magnitudes."""
    samples = min(len(heard_S), len(played_S))
    apart = []
    for window, step, size in WINDOWS:
        taper = torch.hann_window(window)
        heard_KN, played_KN = (
            torch.stft(
                torch.from_numpy(np.ascontiguousarray(wave_S[:samples])),
                size,
                step,
                window,
                taper,
                return_complex=True,
            ).abs()
            * (2 / taper.sum())
            for wave_S in (heard_S, played_S)
        )
        convergence = (heard_KN - played_KN).norm() / heard_KN.norm().clamp(min=FLOOR)
        logs = [one.clamp(min=FLOOR).log() for one in (heard_KN, played_KN)]
        apart.append(float(convergence + (logs[0] - logs[1]).abs().mean()))
    return fmean(apart)


def _annotate(name: str, clips: Sequence[HeldOutClip], rows: Rows, out: Path) -> None:
    """What our annotators hear, and where it stands in the space of evaluations; kept by clip."""
    recipe = Recipe()
    missing = [clip.key for clip in clips if not rows.has(clip.key)]
    made = [MadeClip(key, "", PromptControls(), str(_path(out, name, key))) for key in missing]
    heard = [(one.made, one.labels) for one in estimate(made, recipe) if one.labels]
    sounds = [Sounding(clip.path, labels.duration_s, labels) for clip, labels in heard]
    for (clip, labels), vector in zip(heard, sound_vectors(sounds, recipe), strict=True):
        if vector is not None:
            row = {"labels": labels.model_dump(mode="json"), "vector": vector.tolist()}
            rows.of(clip.name, partial(dict, row))


def _print_table(codecs: Sequence[NamedCodec], clips: Sequence[HeldOutClip], out: Path) -> None:
    labelled = {name: Rows(out, f"{name}-labels") for name in (CLIP, *(one.name for one in codecs))}
    keys = [clip.key for clip in clips if all(rows.has(clip.key) for rows in labelled.values())]
    vectors = {
        name: np.array([rows.found(key)["vector"] for key in keys])
        for name, rows in labelled.items()
    }
    halves = frechet_distance(vectors[CLIP][::2], vectors[CLIP][1::2])
    print(f"\n{len(keys)} clips; two halves of them are {halves:.4f} apart\n")
    print(
        "| codec | numbers a second | distance of spectra | Fréchet | beats F | chords majmin "
        "| sevenths | keys equal | encode s/s | decode s/s |\n|---|---:|---:|---:|---:|---:|---:"
        "|---:|---:|---:|"
    )
    for codec in codecs:
        name, facts, rows = codec.name, codec.codec.facts, Rows(out, codec.name)
        figures = _figures(labelled[CLIP], labelled[name], rows, keys)
        costs = [median(rows.found(key)[part] for key in keys) for part in ("encode_s", "decode_s")]
        cells = [interval(values, part) for part, values in figures._asdict().items()]
        numbers = facts.channels * facts.bands * facts.frames_per_s
        print(
            f"| {name} | {numbers:,.0f} | {cells[0]} | "
            f"{frechet_distance(vectors[CLIP], vectors[name]):.4f} | "
            f"{' | '.join(cells[1:])} | {costs[0]:.3f} | {costs[1]:.3f} |"
        )


def _figures(heard: Rows, tripped: Rows, trips: Rows, keys: Sequence[str]) -> TripFigures:
    """Figures of a codec, over clips; a label that the clip itself has not counts for none."""
    found = TripFigures([], [], [], [], [])
    for key in keys:
        clip, made = (Labels.model_validate(rows.found(key)["labels"]) for rows in (heard, tripped))
        found.distance.append(trips.found(key)["distance"])
        values = (
            (found.beats, f_measure(clip.beats.times_s, made.beats.times_s)),
            (found.majmin, majmin_overlap(clip.chords, made.chords)),
            (
                found.sevenths,
                chord_overlap(sounding_spans(clip), sounding_spans(made), ChordRule.SEVENTHS),
            ),
            (found.keys, _same_key(clip, made)),
        )
        for figures, value in values:
            if value is not None:
                figures.append(value)
    return found


def _same_key(clip: Labels, made: Labels) -> float | None:
    if clip.key.tonic is None:
        return None
    return float((clip.key.tonic, clip.key.mode) == (made.key.tonic, made.key.mode))


def interval(values: Sequence[float], name: str) -> str:
    found = mean_interval(values, 0, name, within_unit=name != "distance")
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _draw(names: Sequence[str], clips: Sequence[HeldOutClip], out: Path) -> None:
    """Spectrograms, a row for each clip and a column for each codec, up to a quarter of 16 kHz."""
    rows = []
    for clip in clips:
        pictures = []
        for name in names:
            wave, rate_hz = soundfile.read(_path(out, name, clip.key), dtype="float32")
            pictures.append(spectrogram_picture(_ear(wave, rate_hz)[: 4 * RATE_HZ]))
        rows.append(beside(pictures, axis=1))
    Image.fromarray(beside(rows, axis=0)).save(out / "spectrograms.png")


def beside(pictures: Sequence[Any], axis: int) -> Any:
    """Pictures in a row or a column, white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for one in pictures for part in (one, gap)][:-1], axis=axis)


def _path(out: Path, name: str, key: str) -> Path:
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}.flac"


if __name__ == "__main__":
    main()
