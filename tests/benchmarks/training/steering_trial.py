"""How well a trained model is steered: to curves, tunes and forms, over joins, and round loops.

    python -m tests.benchmarks.training.steering_trial RUN SHARDS --out FOLDER [--n 50]
        [--steps 20] [--iterations 70] [--lr 0.005] [--tasks intensity melody form outpaint inpaint
        loop] [--methods …] [--report]

Each piece has the caption of a held-out song and the labels that it resolves to. *Intensity* asks
for one of four drawn curves, *melody* for another held-out song's, *form* for ABA or ABBA;
*outpaint* goes on from the last `--overlap` seconds of the first half of a held-out song, *inpaint*
fills the three seconds in the middle of one, *loop* asks for whole bars that go round. Methods:

- uncontrolled: the model is told nothing of it; of joins, a piece of its own set beside the song
- condition: frame rows, where the model has them
- optimise: DITTO's optimised noise; of joins and loops a loss asks for what is there
- freedom: FreeDoM, the gradient of the same loss at each step
- masked, averaged, averaged-half: naive masking, MultiDiffusion, MD-50; of joins
- round: of loops, both ends made equal after each step

All is judged on the decoded sound, by the controls of shards and by our annotators. Each piece is a
line of `pieces.jsonl` in FOLDER as soon as it is done, and what is there is not played again, so a
run can be stopped and gone on with. Prints Markdown; figures are means with their 95 % interval by
bootstrap over pieces, of a Fréchet distance over resampled pieces; times are CPU seconds of playing
alone, medians. One thread, unless told.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import soundfile
import torch

from pipelines.audio.controls import controls_of
from pipelines.audio.decode import Wave, decoded, resampled
from pipelines.shards.find import find_shards
from schemas.identity import keyed_rng
from schemas.labels import Labels
from schemas.recipe import Recipe
from schemas.sample import Sample
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, ControlCurves
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import estimate
from training.evaluation.originals import held_out, originals
from training.evaluation.spaces import Sounding, sound_vectors, text_vectors
from training.generation.asking import PieceReader
from training.generation.generate import GenerationRequest, Generator
from training.generation.nearness import heard_form
from training.generation.steered import SteerAsk, SteeredPiece, play_steered
from training.generation.strip import SoundAround
from training.metrics.controls import PromptControls
from training.metrics.frechet import frechet_distance
from training.metrics.intervals import mean_interval
from training.metrics.joins import (
    beat_phase_error_s,
    inner_similarity,
    join_figures,
    seam_similarity,
)
from training.metrics.tagging import cosines
from training.metrics.timeline import melody_accuracy
from training.prompt_controls.resolve import resolve_controls
from training.steering.asked import AskedForm
from training.steering.losses import block_form
from training.steering.steer import KnownWay
from training.timed_controls.curves import level_curve, levels_of_text
from training.timed_controls.options import ControlOptions
from training.timed_controls.steer_options import SteerOptions, SteerWay

SHAPES: Final = ("quiet loud", "loud quiet", "quiet loud quiet", "loud quiet loud")
FORMS: Final = ("ABA", "ABBA")
JOINED: Final = ("uncontrolled", "masked", "averaged", "averaged-half", "freedom", "optimise")
METHODS: Final = {
    "intensity": ("uncontrolled", "condition", "optimise", "freedom"),
    "melody": ("uncontrolled", "condition", "optimise", "freedom"),
    "form": ("uncontrolled", "optimise", "freedom"),
    "outpaint": JOINED,
    "inpaint": JOINED,
    "loop": ("uncontrolled", "round", "optimise"),
}
GAP_S: Final = 3.0
RESAMPLES: Final = 200  # of a Fréchet distance
FREE: Final = 0.95  # of a piece's own moments, that a join may be as strong as


class Song(NamedTuple):
    """A held-out song's record, its sound at the codec's rate, and its caption."""

    sample: Sample
    wave: Wave
    caption: str


class Trial(NamedTuple):
    """A model, songs, and how pieces are played."""

    generator: Generator
    songs: Sequence[Song]
    given: argparse.Namespace

    def piece(self, task: str, method: str, number: int) -> dict[str, Any]:
        """Plays one piece and measures it."""
        started = time.process_time()
        made = self._played(task, method, number)
        took_s = time.process_time() - started
        song, wave = self.songs[number], made.wave
        row = {
            "task": task,
            "method": method,
            "number": number,
            "seconds": round(took_s, 2),
            **self._measured(task, made, number),
        }
        file = Path(self.given.out) / f"{task}-{method}-{number}.flac"
        rate_hz = self.generator.codec.facts.rate_hz
        soundfile.write(file, wave, rate_hz, subtype="PCM_16")
        return row | _heard(file, song.caption, len(wave) / rate_hz, task)

    def _played(self, task: str, method: str, number: int) -> SteeredPiece:
        song, given = self.songs[number], self.given
        ask = SteerAsk(iterations=given.iterations, lr=given.lr, **_ways(task, method))
        if task == "loop":
            reader = PieceReader(
                self.generator, song.caption, ControlOptions(), SteerOptions(loop=True), None, 0.0
            )
            controls = reader.read().piece.controls
            ask = ask._replace(loop=True)
        elif task in ("outpaint", "inpaint"):
            ask, controls = self._beside(task, song, ask)
        else:
            controls = ClipControls(self._labels(song), self._curves(task, number))
            if task == "form":
                ask = ask._replace(form=AskedForm(FORMS[number % 2]))
        if method == "uncontrolled" and task in ("intensity", "melody", "form"):
            controls, ask = controls._replace(curves=ControlCurves()), SteerAsk()
        if method in ("optimise", "freedom"):  # by the loss alone
            controls = controls.without([Condition.DYNAMICS, Condition.MELODY])
        sampling = self.generator.recipe.sampling.replaced(steps=given.steps)
        request = GenerationRequest(str(number), song.caption, controls)
        [made] = play_steered(self.generator, [request], ask, seed=given.seed, sampling=sampling)
        return made

    def _labels(self, song: Song) -> Labels:
        return resolve_controls(
            song.caption,
            duration_s=self.generator.seconds,
            statistics=self.generator.survey.statistics,
        ).labels

    def _curves(self, task: str, number: int) -> ControlCurves:
        length_s = self.generator.seconds
        if task == "intensity":
            shape = SHAPES[number % len(SHAPES)]
            return ControlCurves(dynamics_db=level_curve(levels_of_text(shape, length_s), length_s))
        if task == "melody":
            other = self.songs[(number + 1) % len(self.songs)].sample
            return ControlCurves(melody=other.controls.melody[: round(length_s * 10)])
        return ControlCurves()

    def _beside(self, task: str, song: Song, ask: SteerAsk) -> tuple[SteerAsk, ClipControls]:
        """A song with a part to be played."""
        facts = self.generator.codec.facts
        size, rate_hz = facts.samples_per_frame, facts.rate_hz
        most = facts.frames(round(self.generator.seconds * rate_hz))
        wave = song.wave[: most * size]
        if task == "inpaint":
            gap = round(GAP_S * facts.frames_per_s)
            first = (len(wave) // size - gap) // 2 * size
            around = SoundAround(wave[:first], wave[first + gap * size :], gap)
        else:
            overlap = round(self.given.overlap * facts.frames_per_s)
            first = len(wave) // size // 2 * size
            before = wave[max(0, first - overlap * size) : first]
            around = SoundAround(before, wave[:0], most - overlap)
        length_s = (len(around.before) + around.new * size + len(around.after)) / rate_hz
        labels = resolve_controls(
            song.caption,
            duration_s=length_s,
            statistics=self.generator.survey.statistics,
        ).labels
        return ask._replace(around=around), ClipControls(labels)

    def _measured(self, task: str, made: SteeredPiece, number: int) -> dict[str, Any]:
        wave, rate_hz = made.wave, self.generator.codec.facts.rate_hz
        controls = controls_of(wave, rate_hz)
        asked = self._curves(task, number)
        if task == "intensity":
            pairs = zip(asked.dynamics_db, controls.dynamics_db, strict=False)
            errors = [(one - max(heard, -60.0)) ** 2 for one, heard in pairs if one is not None]
            return {"figure": float(np.mean(errors))}
        if task == "melody":
            return {"figure": melody_accuracy(asked.melody, controls.melody)}
        if task == "form":
            heard_NN = heard_form(wave, rate_hz, smooth=True)
            wanted_NN = block_form(FORMS[number % 2], len(heard_NN))
            return {"figure": float((heard_NN - wanted_NN).square().mean())}
        if task == "loop":
            round_twice = np.concatenate([wave, wave])
            [seam] = join_figures(round_twice, rate_hz, (len(wave) / rate_hz,))
            return {
                "figure": seam_similarity(wave, rate_hz),
                "inner": inner_similarity(wave, rate_hz),
                "flux share": seam.share,
            }
        joins = join_figures(wave, rate_hz, made.joins_s)
        return {"flux share": max((one.share for one in joins), default=0.0)}


def _ways(task: str, method: str) -> dict[str, Any]:
    """What an ask says of a method."""
    if task in ("outpaint", "inpaint"):
        by = SteerWay.GUIDE if method == "freedom" else SteerWay.OPTIMISE
        known = {
            "uncontrolled": KnownWay.IGNORED,
            "freedom": KnownWay.LOSS,
            "optimise": KnownWay.LOSS,
        }
        return {"by": by, "known_by": known.get(method) or KnownWay(method)}
    if task == "loop":
        known_by = {"optimise": KnownWay.LOSS, "uncontrolled": KnownWay.IGNORED}
        return {"by": SteerWay.OPTIMISE, "known_by": known_by.get(method, KnownWay.MASKED)}
    ways = {"optimise": SteerWay.OPTIMISE, "freedom": SteerWay.GUIDE}
    return {"by": ways.get(method, SteerWay.CONDITION)}


def _heard(file: Path, caption: str, length_s: float, task: str) -> dict[str, Any]:
    """The vector of a piece, and its cosine with the prompt; of a loop how its beats go on."""
    clip = MadeClip(file.stem, caption, PromptControls(), str(file))
    [one] = estimate([clip], Recipe())
    if one.labels is None:
        return {"vector": None, "cosine": None}
    [vector] = sound_vectors([Sounding(str(file), length_s, one.labels)], Recipe())
    [text] = text_vectors([caption], Recipe())
    row: dict[str, Any] = {"vector": None, "cosine": None}
    if vector is not None:
        row["vector"] = [round(float(value), 5) for value in vector]
    if vector is not None and text is not None:
        row["cosine"] = cosines([text], [vector])[0]
    if task == "loop":
        row["phase"] = beat_phase_error_s(one.labels.beats.times_s, length_s)
    return row


def songs_of(shards: str, rate_hz: int, count: int) -> Iterator[Song]:
    """So many held-out songs, one clip each."""
    chosen, _ = held_out(find_shards(shards).shards)
    seen: set[str] = set()
    for raw, sample in originals(chosen):
        if sample is None or sample.song_id in seen or raw.audio is None or len(seen) >= count:
            continue
        if not sample.captions:
            continue
        seen.add(sample.song_id)
        sound = decoded(raw.content(raw.audio))
        yield Song(sample, resampled(sound.wave, sound.rate_hz, rate_hz), sample.captions[0].text)


def play(given: argparse.Namespace) -> None:
    """Plays what is not there yet."""
    folder = Path(given.out)
    folder.mkdir(parents=True, exist_ok=True)
    generator = Generator.of(given.run, "cpu" if given.threads else "auto")
    songs = list(songs_of(given.shards, generator.codec.facts.rate_hz, given.n))
    _reference(folder, songs, generator.codec.facts.rate_hz)
    trial = Trial(generator, songs, given)
    done = {(row["task"], row["method"], row["number"]) for row in rows_of(folder)}
    wanted = [
        (task, method, number)
        for number in range(len(songs))
        for task in given.tasks
        for method in METHODS[task]
        if not given.methods or method in given.methods
    ]
    left = [one for one in wanted if one not in done]
    started = time.perf_counter()
    with (folder / "pieces.jsonl").open("a", encoding="utf-8") as out:
        for place, one in enumerate(left, start=1):
            out.write(json.dumps(trial.piece(*one)) + "\n")
            out.flush()
            each_s = (time.perf_counter() - started) / place
            print(
                f"{place} of {len(left)}, {each_s:.1f} s each, "
                f"{each_s * (len(left) - place) / 60:.0f} min left",
                file=sys.stderr,
                flush=True,
            )


def _reference(folder: Path, songs: Sequence[Song], rate_hz: int) -> None:
    """The vectors of the songs themselves, once."""
    path = folder / "reference.json"
    if path.exists() and len(json.loads(path.read_text())) == len(songs):
        return
    vectors = []
    for number, song in enumerate(songs):
        file = folder / f"song-{number}.flac"
        soundfile.write(file, song.wave, rate_hz, subtype="PCM_16")
        vectors.append(_heard(file, song.caption, len(song.wave) / rate_hz, "")["vector"])
    path.write_text(json.dumps(vectors))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """What is there; a line that was not finished is played again."""
    path, out = folder / "pieces.jsonl", []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            out.append(json.loads(line))
        except ValueError:
            continue
    return out


def report(folder: Path) -> None:
    """The tables of what is there."""
    rows = rows_of(folder)
    reference = [one for one in json.loads((folder / "reference.json").read_text()) if one]
    found = {
        (task, method): [one for one in rows if (one["task"], one["method"]) == (task, method)]
        for task, methods in METHODS.items()
        for method in methods
    }
    _control_table({key: value for key, value in found.items() if value})
    _join_table({key: value for key, value in found.items() if value}, reference)
    _loop_table({key: value for key, value in found.items() if value})


Found = dict[tuple[str, str], list[dict[str, Any]]]


def _control_table(found: Found) -> None:
    names = {"intensity": "error, dB²", "melody": "accuracy", "form": "distance"}
    print("| asked | method | n | figure | against uncontrolled | prompt cosine | CPU s a piece |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for (task, method), rows in found.items():
        if task not in names:
            continue
        values = _values(rows, "figure")
        base = _values(found.get((task, "uncontrolled"), []), "figure")
        ratio = f"{np.mean(values) / np.mean(base):.2f} ×" if base and np.mean(base) else "–"
        print(
            f"| {task}: {names[task]} | {method} | {len(rows)} | {_mean(values)} | {ratio} | "
            f"{_mean(_values(rows, 'cosine'))} | {np.median(_values(rows, 'seconds')):.1f} |"
        )


def _join_table(found: Found, reference: list[list[float]]) -> None:
    print("\n| join | method | n | Fréchet | joins within 95 % | prompt cosine | CPU s a piece |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for (task, method), rows in found.items():
        if task not in ("outpaint", "inpaint"):
            continue
        free = [float(one <= FREE) for one in _values(rows, "flux share")]
        print(
            f"| {task} | {method} | {len(rows)} | {_frechet(rows, reference)} | {_mean(free)} | "
            f"{_mean(_values(rows, 'cosine'))} | {np.median(_values(rows, 'seconds')):.1f} |"
        )


def _loop_table(found: Found) -> None:
    print("\n| loop | n | ends alike | neighbours alike | seams within 95 % | beats, ms | CPU s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for (task, method), rows in found.items():
        if task != "loop":
            continue
        free = [float(one <= FREE) for one in _values(rows, "flux share")]
        late = [1000 * one for one in _values(rows, "phase")]
        print(
            f"| {method} | {len(rows)} | {_mean(_values(rows, 'figure'))} | "
            f"{_mean(_values(rows, 'inner'))} | {_mean(free)} | {_mean(late)} | "
            f"{np.median(_values(rows, 'seconds')):.1f} |"
        )


def _values(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name) is not None]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle, low, high = mean_interval(values, 0, "steering trial", within_unit=False)
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def _frechet(rows: Sequence[dict[str, Any]], reference: list[list[float]]) -> str:
    vectors = np.array([row["vector"] for row in rows if row["vector"]])
    if len(vectors) < 2 or len(reference) < 2:
        return "–"
    beside, rng = np.array(reference), keyed_rng(0, "steering trial", "bootstrap")
    draws = [
        frechet_distance(beside, vectors[rng.integers(len(vectors), size=len(vectors))])
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{frechet_distance(beside, vectors):.4f} ({low:.4f}–{high:.4f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("shards")
    parser.add_argument("--out", required=True)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=None)
    parser.add_argument("--lr", type=float, default=None)
    parser.add_argument("--overlap", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tasks", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--report", action="store_true", help="print what is there alone")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if not given.report:
        play(given)
    report(Path(given.out))


if __name__ == "__main__":
    main()
