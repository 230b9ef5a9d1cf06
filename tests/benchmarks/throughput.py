"""How fast a build is: ours with one worker and two, against the same annotators called plainly, in
one run.

    python -m tests.benchmarks.throughput FOLDER [--clips 64] [--plain-clips 16]

FOLDER holds audio of at least 12.5 s a file (one 10 s clip of each is used). Prints source clips
per second end to end and per stage, the share of time outside the stages' own work, the speed-up of
two workers, the peak memory of a worker, and the ratio to *plain*: madmom's own processors and
Essentia clip by clip, ten pyrubberband calls at 44.1 kHz, FLACs written, no checks.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyrubberband
import soundfile

from pipelines.annotators.windows import measured
from pipelines.audio.decode import Wave, flac, read_window, resampled
from pipelines.stages.labels.vary import _sampled_change
from schemas.recipe import Recipe
from tests.benchmarks.truth_peers import essentia_key, madmom_deep_chroma, madmom_downbeats

CLIP_S, EXTENDED_S = 10.0, 12.5
STAGES = ("probe", "cut", "annotate", "filter", "vary", "caption", "pack", "verify")


class PeakMemory(threading.Thread):
    """Largest resident memory of any child of a process, sampled ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._parent, self.peak_mb = psutil.Process(pid), 0.0

    def run(self) -> None:
        while self._parent.is_running() and self._parent.status() != psutil.STATUS_ZOMBIE:
            for member in [self._parent, *self._parent.children(recursive=True)]:
                try:
                    self.peak_mb = max(self.peak_mb, member.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            time.sleep(0.1)


def ours(folder: Path, out: Path, workers: int) -> dict[str, float]:
    """Wall seconds of a build and of its stages, and the peak memory of its processes."""
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "build",
        str(folder),
        "--out",
        str(out),
        "--workers",
        str(workers),
    ]
    options = [
        "--set",
        "verify.relabel_clips=0",
        "--set",
        "ingest.clips=first",
        "--set",
        "ingest.validation=0",
        "--set",
        "ingest.test=0",
    ]
    began = time.perf_counter()
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    memory = PeakMemory(process.pid)
    memory.start()
    if process.wait():
        raise SystemExit("the build failed")
    wall_s = time.perf_counter() - began
    [run] = (out / "runs").glob("*/run.json")
    steps = json.loads(run.read_text())["steps"]
    seconds = {name: step["seconds"] for name, step in steps.items()} | {
        f"{name}_work": step["work_s"] for name, step in steps.items()
    }
    return {"wall_s": wall_s, "peak_mb": memory.peak_mb, **seconds}


def plain(paths: list[Path], out: Path) -> float:
    """Seconds of the plain way over some files."""
    recipe = Recipe()
    began = time.perf_counter()
    for path in paths:
        excerpt = read_window(str(path), 0.0, EXTENDED_S)
        wave = resampled(excerpt.wave, excerpt.rate_hz, 44_100)
        labels = [madmom_downbeats(wave), madmom_deep_chroma(wave), essentia_key("krumhansl")(wave)]
        measured(excerpt)
        for variant, copy in plain_copies(wave, path.stem, recipe).items():
            (out / f"{path.stem}-{variant}.flac").write_bytes(
                flac(resampled(copy, 44_100, 16_000), 16_000)
            )
            (out / f"{path.stem}-{variant}.json").write_text(str(labels))
    return time.perf_counter() - began


def plain_copies(wave: Wave, key: str, recipe: Recipe) -> dict[str, Wave]:
    """The original and its eleven copies by pyrubberband at 44.1 kHz."""
    own = wave[: int(CLIP_S * 44_100)]
    copies = {
        f"p{step}": pyrubberband.pitch_shift(own, 44_100, step) for step in recipe.vary.semitones
    }
    for index in range(recipe.vary.speeds):
        speed = _sampled_change(key, f"s{index + 1}", recipe).speed
        copies[f"s{index + 1}"] = pyrubberband.time_stretch(wave, 44_100, speed)[: len(own)]
    copies["v1"] = own * np.linspace(0.3, 1, len(own), dtype=np.float32)
    return {"orig": own, **{name: np.asarray(copy, np.float32) for name, copy in copies.items()}}


def chosen(folder: Path, clips: int, into: Path) -> list[Path]:
    """The first `clips` long enough files, linked into a folder of their own."""
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in (".flac", ".wav", ".ogg") and soundfile.info(path).duration >= EXTENDED_S
    ]
    for path in paths[:clips]:
        (into / path.name).symlink_to(path)
    return sorted(into.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--plain-clips", type=int, default=16)
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="throughput-"))
    for name in ("in", "plain"):
        (work / name).mkdir()
    paths = chosen(arguments.folder, arguments.clips, work / "in")
    one, two = (ours(work / "in", work / f"out{workers}", workers) for workers in (1, 2))
    plain(paths[:1], work / "plain")  # loads the models
    plain_s = plain(paths[: arguments.plain_clips], work / "plain") / arguments.plain_clips
    print(
        f"{len(paths)} source clips of {CLIP_S:g} s, 12 samples each; "
        "seconds, and source clips a second and core\n"
    )
    print(
        "| stage | 1 worker s | own work s | clips/s/core | 2 workers s | speed-up |\n"
        "|---|---:|---:|---:|---:|---:|"
    )
    for stage in STAGES:
        cells = (
            one[stage],
            one[f"{stage}_work"],
            len(paths) / one[stage],
            two[stage],
            one[stage] / two[stage],
        )
        print(f"| {stage} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    print(
        f"| whole | {one['wall_s']:.2f} | | {len(paths) / one['wall_s']:.3f} | "
        f"{two['wall_s']:.2f} | {one['wall_s'] / two['wall_s']:.2f} |"
    )
    own_s = sum(one[f"{stage}_work"] for stage in STAGES)
    peak_mb = max(one["peak_mb"], two["peak_mb"])
    print(
        "\n"
        f"outside the stages' own work: {1 - own_s / one['wall_s']:.1%}; "
        f"peak memory of a process: {peak_mb:.0f} MiB"
    )
    print(
        f"plain: {plain_s:.3f} s a clip = {1 / plain_s:.3f} clips/s; ours: "
        f"{plain_s * len(paths) / one['wall_s']:.2f} × that a core"
    )
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
