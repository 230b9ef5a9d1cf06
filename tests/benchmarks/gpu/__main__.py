"""What a GPU makes of training and playing, in sections with a deadline each.

    python -m tests.benchmarks.gpu --out FOLDER [--budget 480] [--only step,play]
    python -m tests.benchmarks.gpu --out FOLDER --rehearse   # the same code, tiny, on a CPU

Each row is printed and appended to FOLDER/gpu.jsonl as soon as it is there, so that a section that
runs out of time, or of memory, costs no other. Weights, latents, labels and the text encoder's
weights are drawn at random: nothing is downloaded. Step times are medians after a warm-up. A peak
that is not known, as of a CPU, leaves MFU out.
"""

import argparse
import importlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final
from unittest import mock

# imported by what reads shards, which nothing here does
_UNUSED: Final = ("soundfile", "soxr", "pyarrow", "pyarrow.parquet")
Row = dict[str, Any]


def _stand_in_for_what_is_not_here() -> None:
    """A machine with torch and little else will do."""
    for name in _UNUSED:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = mock.MagicMock()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` in the block once its time is over."""

    def over(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"not done in {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(0.01, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measured(name: str, rows: Callable[[], Iterator[Row]], seconds: float) -> Iterator[Row]:
    """A section's rows; the last says why there are no more, where it did not end by itself."""
    before = time.perf_counter()
    try:
        with deadline(seconds):
            for row in rows():
                yield {"section": name, **row}
    except (TimeoutError, RuntimeError, MemoryError) as error:  # of one section, not of the others
        yield {"section": name, "what": "ended early", "error": str(error).splitlines()[0][:200]}
    yield {"section": name, "what": "whole", "s": time.perf_counter() - before}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--budget", type=float, default=480.0, help="seconds of all sections")
    parser.add_argument("--only", default="", help="sections, parted by commas; empty: all")
    parser.add_argument("--rehearse", action="store_true")
    chosen = parser.parse_args()
    _stand_in_for_what_is_not_here()
    from tests.benchmarks.gpu.sections import SECTIONS, Bench
    from training.run.parallel import device_of

    bench = Bench(device_of("cpu" if chosen.rehearse else "cuda"), chosen.rehearse)
    ends = time.perf_counter() + chosen.budget
    folder = Path(chosen.out)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "gpu.jsonl", "w", encoding="utf-8") as out:
        for name in chosen.only.split(",") if chosen.only else SECTIONS:
            section, left = SECTIONS[name], ends - time.perf_counter()
            rows = partial(section.run, bench)
            for row in measured(name, rows, min(section.seconds, left)):
                rounded = {
                    key: round(value, 4) if isinstance(value, float) else value
                    for key, value in row.items()
                }
                print(json.dumps(rounded), flush=True)
                out.write(json.dumps(rounded) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
