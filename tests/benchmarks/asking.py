"""Asking a language model under faults: killed five times, short of money, by batches, within
limits, and what asking itself costs.

    python -m tests.benchmarks.asking [--captions 2000] [--musiccaps FILE] [--pace-s 65]
                                      [--only kills batches pace overhead]

Captions come from the rows of FILE (a CSV with a column `caption`, as MusicCaps has it), else they
are made up. The model is the tests' server on 127.0.0.1, which answers well, wrongly, late or never
by plan, and logs what it answered: requests and money are counted there, not by what is measured. A
run is a child process, killed with SIGKILL. Every text that landed is judged again beside its
labels. Prints Markdown tables; a line that begins with FAILED says which claim does not hold, and
the exit status is 1.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from operator import le
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from pipelines.build.markers import marker_name
from pipelines.build.outputs import Job
from pipelines.build.tables import PARAPHRASES
from pipelines.captioning.check import contradiction
from pipelines.captioning.judging import faults
from pipelines.errors import PipelineError
from pipelines.llm.answers import Answers
from pipelines.llm.money import USD, cost, price_of
from pipelines.paraphrasing.work import works
from pipelines.stages.texts.paraphrase import STAGE
from pipelines.storage.store import Store
from schemas.caption import Caption
from schemas.fact import FactKind
from schemas.recipe import CaptionRecipe, LlmRecipe, Paraphraser, Recipe
from tests.support.captioned_build import captioned_build
from tests.support.servers.llm_server import KEY, Running, llm_server

FAULTS = {
    "late": 0.02,
    "429": 0.05,
    "500": 0.05,
    "half": 0.03,
    "wrong": 0.1,
    "not_json": 0.02,
    "refuse": 0.02,
    "cut_off": 0.02,
    "never": 0.002,
}
USEFUL = ("well", "late", "wrong")  # kinds of answers that are kept
KILLS = (0.07, 0.21, 0.38, 0.6, 0.83)  # after this share of the answers
AMPLE_USD = 10.0
CONCURRENCY = 4


def recipe(**llm: Any) -> Recipe:
    """Every sample with a control caption, and the model's settings."""
    return Recipe(
        caption=CaptionRecipe(paraphraser=Paraphraser.OPENAI, sentences=(0, 0.4, 0.3, 0.2, 0.1)),
        llm=LlmRecipe(**llm),
    )


def sources(count: int, file: Path | None) -> list[str]:
    """Texts about music, each once."""
    if file:
        with file.open(newline="") as rows:
            return list(dict.fromkeys(row["caption"] for row in csv.DictReader(rows)))[:count]
    rng = np.random.default_rng(0)
    moods, players = (
        ("calm", "driving", "wistful", "bright", "dark"),
        ("a flute", "two guitars", "a string quartet", "an organ", "a marimba"),
    )
    return [
        (
            f"Take {number}: a {moods[rng.integers(5)]} piece where {players[rng.integers(5)]} "
            f"answers {players[rng.integers(5)]} in a hall."
        )
        for number in range(count)
    ]


class Run(NamedTuple):
    """One run of the child: exit status (-9: killed), what it said, and when the server answered
    which tokens.
    """

    status: int
    told: dict[str, Any]
    error: str
    answered: list[tuple[float, int]]
    server_cpu_s: float


def run(
    jobs: Sequence[Job],
    asked: Recipe,
    server: Running,
    folder: Path,
    kill: Callable[[int], bool] = lambda _answers: False,
) -> Run:
    """Start the child, and kill it once `kill`, which is told the number of answers in the server's
    log, says so.
    """
    task, log = folder / "task.json", folder / "server/answered.jsonl"
    llm = asked.llm.replaced(base_url=server.url)
    task.write_text(
        json.dumps(
            [
                jobs[0].out,
                [job.bucket for job in jobs],
                asked.replaced(llm=llm).model_dump(mode="json"),
            ]
        )
    )
    [stub] = psutil.Process().children()
    busy_s, offset, times = _cpu_s(stub), log.stat().st_size if log.exists() else 0, []
    command = [sys.executable, "-m", "tests.benchmarks.asking", "--child", str(task)]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": KEY},
    )
    started_with = log.read_bytes().count(b"\n") if log.exists() else 0
    while child.poll() is None:
        lines, offset = _more(log, offset)
        times += [
            (time.perf_counter(), line["prompt_tokens"] + line["completion_tokens"])
            for line in lines
        ]
        if kill(started_with + len(times)):
            child.kill()
        time.sleep(0.004)
    said, error = child.communicate()
    if child.returncode == -9:
        time.sleep(0.7)  # what was under way is answered to nobody, late ones too
    lines, _ = _more(log, offset)
    times += [
        (time.perf_counter(), line["prompt_tokens"] + line["completion_tokens"]) for line in lines
    ]
    return Run(
        child.returncode,
        json.loads(said) if said else {},
        error.strip(),
        times,
        _cpu_s(stub) - busy_s,
    )


def _more(log: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Whole lines that came to the log since `offset`, and where they end."""
    if not log.exists() or log.stat().st_size <= offset:
        return [], offset
    with log.open("rb") as file:
        file.seek(offset)
        content = file.read()
    content = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in content.splitlines()], offset + len(content)


def _cpu_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def child(task: Path) -> None:
    """What is measured: one call of the stage's own function, in a process that can be killed."""
    import pipelines.llm.openai_server  # noqa: F401  # its loading is not the asking

    out, buckets, asked = json.loads(task.read_text())
    used, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    told: dict[str, Any] = {}
    try:
        from pipelines.paraphrasing.by_model import paraphrase_together

        told = paraphrase_together(
            STAGE, [Job(out, bucket, Recipe.model_validate(asked)) for bucket in buckets]
        ).details
    except PipelineError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(
        json.dumps(
            {
                **told.get("calls", {}),
                "wall_s": time.perf_counter() - began,
                "cpu_s": cpu_s,
                "peak_mb": now.ru_maxrss / 1024,
            }
        )
    )


class Landed(NamedTuple):
    """What stands in the build: captions to reword, those of buckets that are done, texts, and how
    many of them are wrong.
    """

    controls: int
    done: int
    unanswered: int
    texts: dict[str, tuple[str, ...]]
    faulty: int
    corrected: (
        int  # they leave out or put right what the source's own words get wrong by the labels
    )
    other_facts: int


def landed(jobs: Sequence[Job]) -> Landed:
    """Judge every text that landed again, and hold its facts against its control caption's."""
    controls = done = unanswered = faulty = corrected = other = 0
    texts: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        work = {one.sample_key: one for one in works(job)}
        controls += len(work)
        if not job.store.exists(marker_name(PARAPHRASES.folder, job.bucket)):
            continue
        rows = list(PARAPHRASES.read(job))
        dead = job.store.read_sealed(marker_name(PARAPHRASES.folder, job.bucket))["counts"].get(
            "unanswered", 0
        )
        done, unanswered = done + len(rows) + dead, unanswered + dead
        for row in rows:
            control, labels = work[row.sample_key].control, work[row.sample_key].labels
            texts[row.sample_key] = tuple(caption.text for caption in row.captions)
            faulty += sum(bool(faults(caption.text, control, labels)) for caption in row.captions)
            differing = [_difference(caption, control) for caption in row.captions]
            corrected += sum(bool(kinds) for kinds in differing)
            # of the source's own words: to be left out
            false = {fact.kind for fact in control.facts if contradiction(fact, labels)}
            other += sum(not kinds <= false for kinds in differing)
    return Landed(controls, done, unanswered, texts, faulty, corrected - other, other)


def _difference(one: Caption, other: Caption) -> set[FactKind]:
    """Kinds of the facts that only one of two captions states."""
    first, second = ({(fact.kind, fact.text) for fact in caption.facts} for caption in (one, other))
    return {kind for kind, _ in first ^ second}


class Ledger:
    """The server's own count: money, useful answers, and those that it gave again, by the place of
    their first in the log.
    """

    def __init__(self, server: Running, asked: Recipe) -> None:
        self.lines, price = server.answered(), price_of(asked.llm)
        counted = (
            cost(price, line["prompt_tokens"], line["completion_tokens"], batch=asked.llm.batch)
            for line in self.lines
        )
        self.usd = sum(counted) / USD
        self.useful, self.lost = 0, list[int]()
        last: dict[str, int] = {}
        for index, line in enumerate(self.lines):
            if line["kind"] in USEFUL:
                self.useful += 1
                self.lost += [last[line["asked"]]] if line["asked"] in last else []
                last[line["asked"]] = index


FAILED: list[str] = []


def claim(holds: bool, said: str) -> None:
    """Note a claim that does not hold."""
    if not holds:
        FAILED.append(said)
        print(f"\nFAILED: {said}\n")


def copied(built: Path, folder: Path, recipe: Recipe) -> list[Job]:
    """A fresh copy of the composed build, and its jobs."""
    shutil.copytree(built, folder / "out")
    return [
        Job(str(folder / "out"), bucket, recipe)
        for bucket in Store(str(built)).read_sealed("clips/plan.json")["buckets"]
    ]


def spent_usd(job: Job) -> float:
    return Answers(job.store).spent / USD


def kills(built: Path, work: Path) -> None:
    """Five kills, once with money enough, and once with 40 % of what that took, then with
    enough.
    """
    ample = _killed(built, work / "ample", AMPLE_USD, KILLS)
    _killed(built, work / "tight", round(0.4 * ample, 6), tuple(0.35 * share for share in KILLS))


def _killed(built: Path, folder: Path, budget_usd: float, when: Sequence[float]) -> float:
    llm = recipe(budget_usd=budget_usd, concurrency=CONCURRENCY, timeout_s=2.0)
    with llm_server(folder / "server", **FAULTS) as server:
        jobs = copied(built, folder, llm)
        controls = landed(jobs).controls
        print(
            "\n"
            f"### Killed five times, {controls} captions, "
            f"{CONCURRENCY} at once, budget ${budget_usd:g}\n"
        )
        print(
            (
                "| run | ended | answered | useful | again | "
                "server's count $ | recorded $ | budget $ |\n"
                "|---|---"
            )
            + "|---:" * 6
            + "|"
        )
        # of each run: the length of the log, and whether it was killed
        ends: list[tuple[int, bool]] = []

        def one(number: int, kill: Callable[[int], bool], asked: Recipe) -> Run:
            before = Ledger(server, asked)
            ran = run(jobs, asked, server, folder, kill)
            after, recorded, limit = Ledger(server, asked), spent_usd(jobs[0]), asked.llm.budget_usd
            ended = {-9: "killed", 0: "done"}.get(ran.status, "error")
            cells = (
                len(ran.answered),
                after.useful - before.useful,
                len(after.lost) - len(before.lost),
            )
            print(
                f"| {number} | {ended} | "
                + " | ".join(map(str, cells))
                + f" | {after.usd:.6f} | {recorded:.6f} | {limit:g} |",
                flush=True,
            )
            ends.append((len(after.lines), ran.status == -9))
            claim(
                after.usd <= recorded <= limit,
                f"run {number}: server's count <= recorded <= budget",
            )
            return ran

        for number, share in enumerate(when, 1):
            one(number, partial(le, share * controls), llm)
        ran = one(len(when) + 1, lambda _: False, llm)
        if budget_usd < AMPLE_USD:
            _raised(one, ran, len(when) + 2, llm)
        _print_landed(jobs, Ledger(server, llm), ends)
        return spent_usd(jobs[0])


def _raised(one: Callable[..., Run], ran: Run, number: int, llm: Recipe) -> None:
    """The error of a spent budget comes once, and again without a request; more money ends the
    work.
    """
    print(f"\nit said: {ran.error}\n")
    claim(
        ran.status == 1 and ran.error.count("\n") == 0 and "raise the budget" in ran.error,
        "one clear error",
    )
    again = one(number, lambda _: False, llm)
    claim(again.status == 1, "still an error")
    print(f"\nthe same budget again: {len(again.answered)} requests\n")
    done = one(
        number + 1, lambda _: False, recipe(**{**llm.llm.model_dump(), "budget_usd": AMPLE_USD})
    )
    claim(done.status == 0, f"done with more money: {done.error}")


def _print_landed(jobs: Sequence[Job], ledger: Ledger, ends: Sequence[tuple[int, bool]]) -> Landed:
    """Say what landed, and which runs' useful answers were asked for again: those of calls under
    way when a run was killed.
    """
    found = landed(jobs)
    count = sum(len(texts) for texts in found.texts.values())
    lost = [
        sum(start <= index < end for index in ledger.lost)
        for (start, _), (end, _) in pairwise([(0, False), *ends])
    ]
    print(
        f"\ncaptions done {found.done} of {found.controls} ({found.unanswered} unanswered), "
        f"texts landed {count}; judged again:"
    )
    print(
        f"faulty {found.faulty}, with other facts than the control's {found.other_facts}, "
        f"without its false ones {found.corrected};"
    )
    print(
        f"useful answers {ledger.useful}, given again "
        f"{len(ledger.lost)}, by the run that first had them {lost};"
    )
    print(f"answers by kind {dict(Counter(line['kind'] for line in ledger.lines))}")
    claim(found.done == found.controls, "all captions done")
    claim(found.faulty == 0 and found.other_facts == 0, "every landed text is right")
    claim(
        all(times <= CONCURRENCY * killed for times, (_, killed) in zip(lost, ends, strict=True)),
        "only calls under way are repeated",
    )
    return found


def batches(built: Path, work: Path) -> None:
    """By batches, of which the first expires and the second fails in part, killed while one is
    under way; and the same call by call.
    """
    direct, batch = (
        recipe(budget_usd=AMPLE_USD, concurrency=CONCURRENCY),
        recipe(budget_usd=AMPLE_USD, batch=True, batch_poll_s=1.0),
    )
    with llm_server(work / "direct/server", wrong=0.1) as server:
        jobs = copied(built, work / "direct", direct)
        run(jobs, direct, server, work / "direct")
        plain, plain_usd = landed(jobs), spent_usd(jobs[0])
    with llm_server(work / "batch/server", bad_batches=1, wrong=0.1) as server:
        jobs = copied(built, work / "batch", batch)
        print("\n### By batches, the first expired half done, the second failed in part\n")
        print(
            "| run | ended | answered | batches under way | recorded $ | calls |\n"
            "|---|---|---:|---|---:|---|"
        )
        killed: set[str] = set()
        for number in (1, 2, 3):

            def kill(_answers: int, last: bool = number == 3) -> bool:
                under_way = (
                    {}
                    if last
                    else {
                        one.name
                        for one in Answers(jobs[0].store).batches
                        if one.server_id and one.name not in killed
                    }
                )
                killed.update(under_way)
                return bool(under_way)

            ran = run(jobs, batch, server, work / "batch", kill)
            ended, waiting = (
                {-9: "killed", 0: "done"}.get(ran.status, ran.error),
                [one.server_id for one in Answers(jobs[0].store).batches],
            )
            told = {name: count for name, count in ran.told.items() if isinstance(count, int)}
            print(
                (
                    f"| {number} | {ended} | {len(ran.answered)} | {', '.join(waiting)} | "
                    f"{spent_usd(jobs[0]):.6f} | {told} |"
                ),
                flush=True,
            )
        found = _print_landed(jobs, Ledger(server, batch), [(10**9, False)])
        usd = Ledger(server, batch).usd
        print(
            f"\nlanded as call by call: {found.texts == plain.texts}; server's count ${usd:.6f}, "
            f"recorded ${spent_usd(jobs[0]):.6f};"
        )
        print(f"call by call recorded ${plain_usd:.6f}")
        claim(found.texts == plain.texts, "the same texts as call by call")
        claim(
            round(usd * USD) == round(spent_usd(jobs[0]) * USD),
            "recorded is what the server counted",
        )


def pace(built: Path, work: Path, seconds: float) -> None:
    """How much of a limit per minute is used, and whether any second or minute holds more."""
    print(f"\n### Pace: a server that takes 0.1 s, {seconds:g} s a run, from the first answer on\n")
    print(
        "| limit | limit a minute | used | used after 2 s | busiest s, "
        "of the limit's | busiest 60 s, of the limit |"
    )
    print("|---" + "|---:" * 5 + "|")
    for name, limit in (("requests_per_minute", 1_800), ("tokens_per_minute", 600_000)):
        with llm_server(work / name / "server", latency_s=0.1) as server:
            asked = recipe(budget_usd=AMPLE_USD, **{name: limit})
            began: list[float] = []

            def kill(answers: int, began: list[float] = began) -> bool:
                began += [time.perf_counter()] if answers and not began else []
                return bool(began) and time.perf_counter() - began[0] > seconds

            ran = run(copied(built, work / name, asked), asked, server, work / name, kill)
        at = np.array([time_s for time_s, _ in ran.answered]) - ran.answered[0][0]
        units = np.array([tokens if name.startswith("tokens") else 1 for _, tokens in ran.answered])
        # the last few answers came to a dead process
        whole, later = (at <= at[-9], (at > 2) & (at <= at[-9]))
        used, settled = units[whole].sum() / at[whole][-1], units[later].sum() / (at[whole][-1] - 2)
        second, minute = (
            max(units[(at >= one) & (at < one + span)].sum() for one in at) for span in (1, 60)
        )
        shares = (used * 60 / limit, settled * 60 / limit, second * 60 / limit, minute / limit)
        print(
            f"| {name} | {limit:,} | " + " | ".join(f"{share:.1%}" for share in shares) + " |",
            flush=True,
        )
        claim(shares[1] >= 0.9, f"{name}: at least 90 % is used")
        claim(shares[3] <= 1, f"{name}: no minute holds more")


def overhead(built: Path, work: Path) -> None:
    """Captions a second and CPU where the server answers at once and nothing limits."""
    print("\n### Overhead: no limit, a server that takes no time\n")
    print(
        (
            "| at once | requests | captions/s | CPU ms a caption | "
            "CPU ms a request | server's CPU s | wall s | peak MiB |\n"
        )
        + "|---:" * 8
        + "|"
    )
    for concurrency in (8, 32, 128):
        folder = work / f"overhead{concurrency}"
        with llm_server(folder / "server") as server:
            asked = recipe(budget_usd=AMPLE_USD, concurrency=concurrency)
            jobs = copied(built, folder, asked)
            ran = run(jobs, asked, server, folder)
        captions, requests, told = landed(jobs).done, ran.told["answered"], ran.told
        cells = (
            captions / told["wall_s"],
            1000 * told["cpu_s"] / captions,
            1000 * told["cpu_s"] / requests,
            ran.server_cpu_s,
            told["wall_s"],
        )
        print(
            f"| {concurrency} | {requests} | "
            + " | ".join(f"{cell:.2f}" for cell in cells)
            + f" | {told['peak_mb']:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--captions", type=int, default=2000)
    parser.add_argument("--musiccaps", type=Path)
    parser.add_argument("--pace-s", type=float, default=65.0)
    parser.add_argument(
        "--only",
        nargs="*",
        choices=("kills", "batches", "pace", "overhead"),
        default=("kills", "batches", "pace", "overhead"),
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments.child)
    work = Path(tempfile.mkdtemp(prefix="asking-"))
    built = work / "built"
    captioned_build(
        str(built), recipe(), sources(arguments.captions, arguments.musiccaps), buckets=8
    )
    for name in arguments.only:
        (work / name).mkdir()
        if name == "pace":
            pace(built, work / name, arguments.pace_s)
        else:
            {"kills": kills, "batches": batches, "overhead": overhead}[name](built, work / name)
    shutil.rmtree(work)
    if FAILED:
        raise SystemExit("FAILED: " + "; ".join(FAILED))
    return None


if __name__ == "__main__":
    main()
