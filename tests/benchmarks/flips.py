"""Flipped bits: one bit changed in files of every kind, then the real readers; each must be named,
or change nothing.

    python -m tests.benchmarks.flips FOLDER [--flips 2000] [--seed 0] [--together 10]
                                     [--mend-every 10]
    python -m tests.benchmarks.flips FOLDER --commands 200 [--seed 1]

The build is of two composed pieces: captions reworded by a model (a server of our own),
pseudo-labels with an approximate index, latents; and a training run of two checkpoints. Several
files are flipped for each `verify`, never two that one witness vouches for. What it does not name
must hold the value that was written, or lie in runs/. With --mend-every, every so many rounds a
build must give the undisturbed bytes again, and then pass. By commands, the published shards must
be those of the same command on the undisturbed build, or the command must have failed by name; a
traceback is a miss. Prints Markdown tables; the exit status is 1 where anything was missed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from flows.build.local import encode, label
from flows.build.order import MARKED
from flows.build.recipe_files import recipe_toml
from flows.build.run_step import stored_build
from pipelines.beam.options import Engine
from pipelines.build.markers import altered_files
from pipelines.build.plans import read_listing, read_plan
from pipelines.build.tables import MARKER
from pipelines.build.versions import read_version
from pipelines.errors import PipelineError
from pipelines.llm.answers import damaged_lines
from pipelines.reports.damage import damages
from pipelines.shards.check import check
from pipelines.shards.find import ShardProblem, find_shards
from pipelines.storage.store import Store
from pipelines.trust import trusted
from schemas.recipe import Recipe
from tests.support.building import ROOT
from tests.support.flipping import (
    OUTSIDE,
    Everything,
    Flip,
    drawn,
    everything,
    names,
    said_by_verify,
)
from tests.support.servers.llm_server import KEY
from tests.training.runs import corpus
from tests.training.runs import recipe as small_run
from training.run.checkpoints import damage, whole_ones
from training.run.loop import train

CHECKPOINTS: Final = "checkpoints"


class Fate(NamedTuple):
    """What became of a flip."""

    flip: Flip
    kind: str
    named: bool
    caught: bool
    harmless: str  # why; empty where it is not, or was named

    @property
    def missed(self) -> bool:
        """Whether nobody said anything of a change that counts."""
        return not (self.named or self.caught or self.harmless)


def caught_by_reader(made: Everything, flip: Flip) -> bool:
    """Whether what reads a file next says that it is not what was written; false too where nothing
    of ours reads it.
    """
    try:
        return _refused(made, flip)
    except PipelineError:
        return True


def _refused(made: Everything, flip: Flip) -> bool:
    store, (folder, _, name) = Store(str(made.out)), flip.file.rpartition("/")
    if flip.file in ("recipe.toml", "sources.json", "begun.json"):
        stored_build(str(made.out))
    elif flip.file == "clips/plan.json":
        read_plan(store)
    elif flip.file == "listing/plan.json":
        read_listing(store)
    elif folder == "versions":
        read_version(store, name)
    elif flip.file == "dataset.json" or (folder == "shards" and not name.endswith(MARKER)):
        return any(isinstance(found, ShardProblem) for found in check(find_shards(str(made.out))))
    elif folder == "answers":
        return any(damaged_lines(store))
    elif flip.witness.startswith("ledger/inputs") or flip.kind == "ledger":
        return any(damages(store, ["ledger", "shards"]))
    elif folder in MARKED and name != "plan.json":
        return any(altered_files(store, folder, name.partition(".")[0]))
    elif folder.startswith("vocabulary"):
        return any(damages(store, ()))
    return False


def is_same_value(made: Everything, flip: Flip) -> bool:
    """Whether a JSON file still holds the value that was written: such as 1e-05, which has become
    1E-05.
    """
    if not re.search(r"\.jsonl?$", flip.file):
        return False
    try:
        found = [
            json.loads((folder / flip.file).read_bytes()) for folder in (made.out, made.pristine)
        ]
    except ValueError:
        return False
    return bool(found[0] == found[1])


def judged(made: Everything, flips: Sequence[Flip]) -> list[Fate]:
    """What verify says of several flipped files at once, and what reads each next."""
    for flip in flips:
        flip.apply(made.out)
    caught = [caught_by_reader(made, flip) for flip in flips]
    same = [is_same_value(made, flip) for flip in flips]
    lines = said_by_verify(made.out)
    fates = []
    for flip, seen, equal in zip(flips, caught, same, strict=True):
        harmless = (
            "outside the promise" if flip.kind == OUTSIDE else "the same value" if equal else ""
        )
        fates.append(Fate(flip, flip.kind, names(lines, flip), seen, harmless))
    return fates


def mended(made: Everything) -> list[str]:
    """What a build after verify does not bring back, or still finds damaged."""
    made.build()
    return sorted({*made.changed(), *(one.file for one in damages(Store(str(made.out)), MARKED))})


def of_checkpoints(folder: Path, rng: np.random.Generator, count: int) -> Iterator[Fate]:
    """Flips in the files of a run's checkpoints, one at a time."""
    run = folder / "run"
    train(
        small_run(corpus(folder / "shards"), run__steps=4, run__checkpoint_every=2),
        str(run),
        lambda _: None,
    )
    shutil.copytree(run, folder / "run.pristine")
    files = sorted(
        str(path.relative_to(run)) for path in (run / CHECKPOINTS).rglob("*") if path.is_file()
    )
    for _ in range(count):
        file = files[rng.integers(len(files))]
        flip = Flip(file, int(rng.integers((run / file).stat().st_size)), int(rng.integers(8)))
        flip.apply(run)
        found = {one.name.rpartition("/")[2]: damage(one) for one in whole_ones(Store(str(run)))}
        step, name = file.split("/")[1:]
        said = found.get(step, "")
        yield Fate(flip, "checkpoints", name in said, bool(said), "")
        shutil.copyfile(folder / "run.pristine" / file, run / file)


def table(fates: Sequence[Fate]) -> int:
    """Print what became of the flips of each kind; returns how many were missed."""
    print(
        "| one random bit in | tries | named by verify | caught by what reads it next | harmless "
        "| missed |\n|---|---:|---:|---:|---|---:|"
    )
    for kind in [*sorted({fate.kind for fate in fates}), ""]:
        of_kind = [fate for fate in fates if kind in ("", fate.kind)]
        harmless = Counter(fate.harmless for fate in of_kind if fate.harmless and not fate.named)
        why = ", ".join(f"{count} {reason}" for reason, count in harmless.items())
        named, caught, missed = (
            sum(getattr(fate, name) for fate in of_kind) for name in ("named", "caught", "missed")
        )
        print(f"| {kind or '**all**'} | {len(of_kind)} | {named} | {caught} | {why} | {missed} |")
    for fate in fates:
        if fate.missed or not (fate.named or fate.harmless):
            print(f"not named: {fate.flip}")
    return sum(fate.missed or not (fate.named or fate.harmless) for fate in fates)


def in_process(folder: Path, flips: int, seed: int, together: int, mend_every: int) -> int:
    """Flip, verify, restore; returns how many were missed."""
    rng, fates, left = np.random.default_rng(seed), list[Fate](), Counter[str]()
    began, rounds, mends = time.perf_counter(), 0, 0
    tenth = flips // 10
    fates += of_checkpoints(folder / "training", rng, tenth)
    with everything(folder / "build") as made:
        while len(fates) < flips:
            fates += judged(made, drawn(made, rng, min(together, flips - len(fates))))
            rounds += 1
            if mend_every and rounds % mend_every == 0:
                mends += 1
                left.update(mended(made))
            made.restore()
    missed = table(fates)
    print(
        f"\n{flips} flips, seed {seed}, {rounds} times verify, {mends} builds after it, "
        f"{time.perf_counter() - began:.0f} s"
    )
    print(f"not as before after a build: {dict(left) or 'nothing'}")
    return missed + len(left)


class Command(NamedTuple):
    """A command on a build: its words, and the same in this process."""

    words: tuple[str, ...]
    here: Callable[[], object]


class Ran(NamedTuple):
    """What a command did: exit status, all that it said."""

    status: int
    said: str


def ran(words: Sequence[str]) -> Ran:
    """Run the real command."""
    command = [sys.executable, "-P", "-m", "flows.cli", *words]
    done = subprocess.run(
        command,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout + done.stderr)


def published(out: Path) -> dict[str, bytes]:
    """The shards: every caption, label and sound that is published."""
    return {path.name: path.read_bytes() for path in sorted((out / "shards").glob("*.tar"))}


def commands_of(made: Everything) -> dict[str, Command]:
    """Commands that write shards anew, or would."""
    toml = made.out.parent / "recipe.toml"
    toml.write_text(recipe_toml(made.recipe, comments=False))
    out = str(made.out)

    def renewed(run: Callable[..., object], **sections: object) -> Callable[[], object]:
        chosen: Recipe = made.recipe.replaced(**sections)
        return lambda: run(out, chosen, Engine(), lambda _: None)

    packed, labels = (
        made.recipe.pack.replaced(embeddings=False),
        made.recipe.label.replaced(long_labels=2),
    )
    return {
        "build": Command(("build", *made.sources, "--out", out, "--recipe", str(toml)), made.build),
        "encode": Command(
            ("encode", out, "--set", "pack.embeddings=false"), renewed(encode, pack=packed)
        ),
        "label": Command(
            ("label", out, "--set", "label.long_labels=2"), renewed(label, label=labels)
        ),
    }


class Outcome(NamedTuple):
    """What became of a command on a build with flipped files."""

    command: str
    flips: list[Flip]
    how: str
    wrong: str  # empty where nothing is


def by_verify(made: Everything, flips: list[Flip]) -> Outcome:
    """The real verify: it must name each flipped file of the promise, in one line each, and leave
    the shards alone.
    """
    before, done = published(made.out), ran(["verify", str(made.out)])
    lines = tuple(done.said.splitlines())
    unnamed = [
        flip
        for flip in flips
        if not names(lines, flip) and flip.kind != OUTSIDE and not is_same_value(made, flip)
    ]
    wrong = f"not named: {unnamed}" if unnamed else ""
    if "Traceback" in done.said or published(made.out) != before:
        wrong = f"traceback, or shards written: {done.said[-300:]}"
    return Outcome(
        "verify", flips, "named" if done.status else "passed: outside the promise", wrong
    )


def by_command(
    made: Everything, name: str, command: Command, expected: dict[str, bytes], flips: list[Flip]
) -> Outcome:
    """A command without verify before it: it fails by name, or publishes what it would have; flips
    it did not read are left to verify.
    """
    done = ran(command.words)
    if "Traceback" in done.said:
        return Outcome(name, flips, "traceback", done.said[-600:])
    if done.status:
        named = any(flip.file in done.said for flip in flips)
        how = "failed by name, and then mended by the same command"
        return Outcome(
            name,
            flips,
            how,
            _again(made, command, expected)
            if named
            else f"failed without a name: {done.said[-300:]}",
        )
    found, lines = published(made.out), {one.file for one in damages(Store(str(made.out)), MARKED)}
    other = {
        f"shards/{shard}"
        for shard in expected.keys() | found.keys()
        if expected.get(shard) != found.get(shard)
    }
    wrong = (
        f"published otherwise: {sorted(other)}"
        if other - {flip.file for flip in flips} or other - lines
        else ""
    )
    return Outcome(
        name,
        flips,
        "a shard itself, which it did not read: named by verify" if other else "the same shards",
        wrong,
    )


def _again(made: Everything, command: Command, expected: dict[str, bytes]) -> str:
    """What is wrong where a command is run until it ends well, after verify and a build where it
    does not.
    """
    for attempt in (
        command.here,
        command.here,
        lambda: said_by_verify(made.out),
        made.build,
        command.here,
    ):
        try:
            attempt()
        except PipelineError:
            continue
        if published(made.out) == expected:
            return ""
    return "the same command does not give the same shards again"


def by_commands(folder: Path, flips: int, seed: int) -> int:
    """Flips followed by the real commands; returns how many went wrong."""
    rng, outcomes, began = np.random.default_rng(seed), list[Outcome](), time.perf_counter()
    with everything(folder / "build") as made:
        commands = commands_of(made)
        expected = {}
        for name, command in commands.items():
            command.here()
            expected[name] = published(made.out)
            made.restore()
        for number in range(flips // 10):
            outcomes.append(_one(made, rng, lambda some: by_verify(made, some), 5))
            for turn in range(2 if number % 2 else 3):
                name = sorted(commands)[(number * 2 + turn) % 3]
                once = lambda some, name=name: by_command(  # noqa: E731
                    made, name, commands[name], expected[name], some
                )
                outcomes.append(_one(made, rng, once, 2))
    _print(outcomes)
    print(
        f"\n{sum(len(one.flips) for one in outcomes)} flips, seed {seed}, {len(outcomes)} "
        f"commands, {time.perf_counter() - began:.0f} s"
    )
    return sum(bool(one.wrong) for one in outcomes)


def _one(
    made: Everything, rng: np.random.Generator, run: Callable[[list[Flip]], Outcome], count: int
) -> Outcome:
    flips = drawn(made, rng, count)
    for flip in flips:
        flip.apply(made.out)
    outcome = run(flips)
    made.restore()
    return outcome


def _print(outcomes: Sequence[Outcome]) -> None:
    print("| command | what it did | commands | flips | wrong |\n|---|---|---:|---:|---:|")
    for command, how in sorted({(one.command, one.how) for one in outcomes}):
        rows = [one for one in outcomes if (one.command, one.how) == (command, how)]
        print(
            f"| {command} | {how} | {len(rows)} | {sum(len(one.flips) for one in rows)} | "
            f"{sum(bool(one.wrong) for one in rows)} |"
        )
    for one in outcomes:
        if one.wrong:
            print(f"WRONG {one.command} {one.flips}: {one.wrong}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", type=int, default=10)
    parser.add_argument("--mend-every", type=int, default=10)
    parser.add_argument("--commands", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = KEY
    os.environ[trusted.FOLDER] = str(arguments.folder / "configuration")
    if arguments.commands:
        missed = by_commands(arguments.folder, arguments.commands, arguments.seed)
    else:
        missed = in_process(
            arguments.folder,
            arguments.flips,
            arguments.seed,
            arguments.together,
            arguments.mend_every,
        )
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
