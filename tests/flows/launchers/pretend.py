"""What stands in for training: it counts its turns in a folder, and works until it is stopped in
all but the last of them.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

CHECKPOINT = 75


def say(line: str) -> None:
    """One write for each line, as the command line's: several processes share a pipe."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--stops", type=int, default=0, help="turns that last until SIGTERM")
    parser.add_argument("--fails", type=int, default=0, help="status to fail with")
    parser.add_argument(
        "--rank",
        type=int,
        default=-1,
        help="the one that fails, or is stopped; others wait for one that fails in vain",
    )
    parser.add_argument(
        "--dies",
        action="store_true",
        help="of SIGTERM in its first turn, as before it listens for it",
    )
    parser.add_argument("--deaf", action="store_true", help="to SIGTERM, like one that hangs")
    options = parser.parse_args()
    rank, ranks = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    options.out.mkdir(parents=True, exist_ok=True)
    turn = len(list(options.out.glob(f"turn-*-{rank}")))
    (options.out / f"turn-{turn}-{rank}").touch()
    say(f"turn {turn}, rank {rank} of {ranks} at {os.environ.get('MASTER_ADDR', 'home')}")
    if options.fails and options.rank in (-1, int(rank)):
        print("out of luck", file=sys.stderr, flush=True)
        sys.exit(options.fails)
    if options.dies and turn == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        say(f"works as {os.getpid()}")
        signal.pause()
    if options.deaf:
        say(f"works as {os.getpid()}")
        signal.pause()
    if (turn < options.stops and options.rank in (-1, int(rank))) or options.fails:
        say(f"works as {os.getpid()}")
        signal.sigwait({signal.SIGTERM})
        (options.out / f"checkpoint-{turn}-{rank}").touch()
        sys.exit(CHECKPOINT)
    say("done")


if __name__ == "__main__":
    main()
