"""What a student keeps of its teacher, in how many steps, and how fast noise is optimised by it.

    python -m tests.benchmarks.training.student_trial kept TEACHER STUDENT SHARDS --out FOLDER
        [--prompts 50] [--steps 1 2 4 8] [--gammas 0 0.25 0.5 1]
    python -m tests.benchmarks.training.student_trial steered STUDENT SHARDS --out FOLDER
        [--songs 50] [--most 40] [--jumps 4] [--played 4]

`kept`: the same prompts of held-out samples, played by the teacher as its recipe says and in as few
steps as the student, and by the student in so many steps with so much fresh noise; the control
figures of `obbligato evaluate`, the mean share that is kept of the teacher's, and seconds a clip on
this machine, one thread, one clip at a time.

`steered`: the dynamics of another held-out recording, which nobody tells the net, asked for by
noise that is moved through a jump of the student (`jumps` of them) and played in `played`; the
error as our annotators hear it in the sound, beside that without, and seconds a clip.

Each row is kept in FOLDER as it is there, and not played again. Prints Markdown tables; intervals
are 95 %, by bootstrap over clips.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final, NamedTuple

import soundfile
import torch

from pipelines.audio.decode import Wave
from pipelines.storage.temporary import temporary_folder
from schemas.recipe import Recipe
from schemas.sample import Sample
from tests.benchmarks.training.held_out_songs import first_text, held_out_songs
from training.conditions.clip_controls import ClipControls
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import estimate
from training.evaluation.evaluate import evaluate
from training.evaluation.generated import generate_clips
from training.evaluation.targets import target_prompts
from training.generation.generate import GenerationRequest, Generator
from training.metrics.controls import PromptControls
from training.metrics.intervals import mean_interval
from training.metrics.summary import Figure
from training.metrics.timeline import dynamics_figures
from training.metrics.timing import AskedCurves, timing_of
from training.samplers.config import Sampler, SamplingConfig
from training.steering.listening import Ear
from training.steering.losses import intensity
from training.steering.optimise import OptimiseConfig, Steering
from training.steering.steer import SteerPlan

# of an evaluation, those that say whether it plays what was asked; those with too few clips, or
# which the teacher does not reach, are left out of the mean
KEPT: Final = ("TBT", "CK", "CMO", "CMOT", "BM")
LEAST: Final = 0.1
TIMED: Final = 5  # clips, one at a time, of which the median second counts


class Played(NamedTuple):
    """A way to play, and what it is called."""

    name: str
    sampling: SamplingConfig


class Rows:
    """Rows of a table in a file of JSON lines, each made once."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self._found: dict[str, Any] = {row["key"]: row for row in map(json.loads, lines)}

    def has(self, key: str) -> bool:
        """Whether a row was made."""
        return key in self._found

    def found(self, key: str) -> dict[str, Any]:
        """A row that was made."""
        row: dict[str, Any] = self._found[key]
        return row

    def of(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A row by its key, as it was made now or before."""
        if key not in self._found:
            self._found[key] = {"key": key, **make()}
            with self._path.open("a") as out:
                out.write(json.dumps(self._found[key]) + "\n")
        row: dict[str, Any] = self._found[key]
        return row


def kept(given: argparse.Namespace) -> None:
    """The table of what is kept."""
    teacher, student = Generator.of(given.teacher, "cpu"), Generator.of(given.student, "cpu")
    rows = Rows(given.out, "kept")
    own = teacher.recipe.sampling
    first = _kept_row(rows, teacher, Played("teacher", own), given)
    ways = [(teacher, Played("teacher", own.replaced(steps=steps))) for steps in given.steps]
    ways += [
        (student, Played("student", _jumps(student, steps, gamma)))
        for steps in given.steps
        for gamma in (given.gammas if steps > 1 else [0.0])
    ]
    names = [name for name in first["figures"] if first["figures"][name][0] >= LEAST]
    print(f"| played by | steps | γ | s a clip | kept | {' | '.join(names)} |")
    print("|---|---:|---:|---:|---:|" + "---:|" * len(names))
    print(_kept_line("teacher", own, first, first, names))
    for generator, way in ways:
        row = _kept_row(rows, generator, way, given)
        print(_kept_line(way.name, way.sampling, row, first, names), flush=True)


def _jumps(student: Generator, steps: int, gamma: float = 0.0) -> SamplingConfig:
    own = student.recipe.sampling
    return own.replaced(sampler=Sampler.JUMP, steps=steps, gamma=gamma)


def _kept_row(
    rows: Rows, generator: Generator, way: Played, given: argparse.Namespace
) -> dict[str, Any]:
    sampling = way.sampling
    key = f"{generator.name} {given.prompts} {sampling.model_dump_json()}"
    return rows.of(key, lambda: _measured(generator, sampling, given))


def _measured(
    generator: Generator, sampling: SamplingConfig, given: argparse.Namespace
) -> dict[str, Any]:
    """Control figures of prompts that are played so, and seconds a clip."""
    so = generator._replace(recipe=generator.recipe.replaced(sampling=sampling))
    prompts = target_prompts(given.shards, given.prompts)
    with temporary_folder() as folder:
        listing = generate_clips(so, prompts, Path(folder), seed=0, watch=lambda _: None)
        report = evaluate(listing, Recipe()).report
    figures = [one for one in report.figures if one.name in KEPT]
    figures += [one for one in report.timeline if one.clips]
    cosine = report.space.prompt_cosine
    return {
        "figures": {one.name: _stored(one) for one in (*figures, *([cosine] if cosine else []))},
        "clips": report.counts.scored,
        "seconds": _seconds(so, given.shards),
    }


def _stored(one: Figure) -> list[float]:
    return [one.value, one.low, one.high]


def _seconds(generator: Generator, shards: str) -> float:
    """Of one clip at a time, sound and all."""
    spent = []
    for one in held_out_songs(shards, TIMED):
        before = time.perf_counter()
        generator.play([GenerationRequest(one.key, "A calm song", ClipControls(one.labels))])
        spent.append(time.perf_counter() - before)
    return median(spent)


def _kept_line(
    name: str,
    sampling: SamplingConfig,
    row: dict[str, Any],
    first: dict[str, Any],
    names: Sequence[str],
) -> str:
    found, whole = row["figures"], first["figures"]
    shares = [found[one][0] / whole[one][0] for one in names if one in found]
    gamma = f"{sampling.gamma:g}" if sampling.sampler is Sampler.JUMP else "–"
    cells = [
        f"{found[one][0]:.3f} ({found[one][1]:.2f}–{found[one][2]:.2f})" if one in found else "–"
        for one in names
    ]
    return (
        f"| {name} | {sampling.steps} | {gamma} | {row['seconds']:.2f} | {fmean(shares):.0%} | "
        f"{' | '.join(cells)} |"
    )


def steered(given: argparse.Namespace) -> None:
    """The table of optimised intensity."""
    student = Generator.of(given.student, "cpu")
    rows = Rows(given.out, "steered")
    songs = list(held_out_songs(given.shards, given.songs))
    found = []
    for index, one in enumerate(songs):
        other = songs[(index + 1) % len(songs)]
        key = f"{student.name} {one.key} {given.jumps} {given.played} {given.most} {given.lr}"
        found.append(rows.of(key, partial(_steered, student, one, other, given)))
    print("| noise | clips | error, dB² | correlation | s a clip |")
    print("|---|---:|---:|---:|---:|")
    for name in ("drawn", "moved"):
        parts = [[row[name][part] for row in found] for part in ("error", "correlation", "s")]
        print(f"| {name} | {len(found)} | {' | '.join(map(_mean, parts))} |")


def _steered(
    student: Generator, song: Sample, other: Sample, given: argparse.Namespace
) -> dict[str, Any]:
    """A clip without and with its noise moved towards another's dynamics, as it is heard."""
    request = GenerationRequest(song.key, first_text(song), ClipControls(song.labels))
    frames, asked_db = len(song.controls.dynamics_db), other.controls.dynamics_db
    wanted_db = list(asked_db)[:frames] + [asked_db[-1]] * max(0, frames - len(asked_db))
    played = _jumps(student, given.played)
    loss = intensity(Ear(student.codec), torch.tensor(wanted_db))
    moved = OptimiseConfig(most_steps=given.most, enough=2.0, lr=given.lr)
    ways: dict[str, tuple[SamplingConfig, Steering | None]] = {
        "drawn": (played, None),
        "moved": (_jumps(student, given.jumps), Steering(loss, moved, played)),
    }
    row = {}
    for name, (sampling, steering) in ways.items():
        before = time.perf_counter()
        [wave] = student.play([request], sampling=sampling, plan=SteerPlan(steering))
        spent = time.perf_counter() - before
        row[name] = {**_heard(student, request, wave, wanted_db), "s": spent}
    return row


def _heard(
    student: Generator, request: GenerationRequest, wave: Wave, wanted_db: Sequence[float]
) -> dict[str, float]:
    with temporary_folder() as folder:
        path = Path(folder) / "clip.flac"
        soundfile.write(path, wave, student.codec.facts.rate_hz, subtype="PCM_16")
        made = MadeClip(
            request.key,
            request.prompt,
            PromptControls(),
            str(path),
            timing_of(request.controls.labels),
            curves=AskedCurves(dynamics_db=tuple(wanted_db)),
        )
        [heard] = estimate([made], Recipe())
    if heard.controls is None:
        raise SystemExit(f"{request.key} cannot be heard: {heard.problem}")
    found = dynamics_figures(wanted_db, heard.controls.dynamics_db)
    assert found is not None
    return {"error": found.error_db**2, "correlation": found.correlation or 0.0}


def _mean(values: Sequence[float]) -> str:
    middle, low, high = mean_interval(values, 0, "student trial")
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(required=True)
    table = parts.add_parser("kept")
    table.add_argument("teacher")
    table.add_argument("student")
    table.add_argument("shards")
    table.add_argument("--prompts", type=int, default=50)
    table.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8])
    table.add_argument("--gammas", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0])
    table.set_defaults(run=kept)
    other = parts.add_parser("steered")
    other.add_argument("student")
    other.add_argument("shards")
    other.add_argument("--songs", type=int, default=50)
    other.add_argument("--most", type=int, default=40)
    other.add_argument("--jumps", type=int, default=4)
    other.add_argument("--played", type=int, default=4)
    other.add_argument("--lr", type=float, default=OptimiseConfig().lr)
    other.set_defaults(run=steered)
    for one in (table, other):
        one.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.run(given)


if __name__ == "__main__":
    main()
