"""What a flow costs beside a plain build: the same corpus through `obbligato build` and the flow
`build-corpus`, in one run.

    python -m tests.benchmarks.flow_overhead SOURCE [--workers 2] [--rounds 2]

A Prefect server of its own is started first and not counted, as where one runs anyway; its start is
printed by itself. Plain builds and flows take turns; each is a process of its own, from start to
end. Prints seconds, the ratio of the means, and whether the bytes agree.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.building import ROOT, digests
from tests.support.servers.prefect_server import Server

FLOW = """
import sys
from flows.deployments.build_corpus import EngineSettings, build_corpus
from schemas.recipe import Recipe

build_corpus([sys.argv[1]], sys.argv[2], Recipe(), EngineSettings(workers=int(sys.argv[3])))
"""


def timed(command: list[str], environment: dict[str, str], *, quiet: bool = True) -> float:
    """Wall seconds of a command that must succeed; what it prints goes to standard error, or, if
    `quiet`, nowhere.
    """
    began = time.perf_counter()
    subprocess.run(
        command,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL if quiet else sys.stderr,
        stderr=subprocess.DEVNULL if quiet else None,
        check=True,
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        server = Server(folder)
        print(f"server start on a fresh database {time.perf_counter() - began:.1f} s")
        plain, flow = [], []
        try:
            for number in range(chosen.rounds):
                outs = [str(folder / f"plain{number}"), str(folder / f"flow{number}")]
                build = [
                    sys.executable,
                    "-m",
                    "flows.cli",
                    "build",
                    chosen.source,
                    "--out",
                    outs[0],
                    "--workers",
                    str(chosen.workers),
                ]
                plain.append(timed(build, dict(os.environ)))
                flow.append(
                    timed(
                        [sys.executable, "-c", FLOW, chosen.source, outs[1], str(chosen.workers)],
                        server.environment,
                    )
                )
                same = digests(Path(outs[0])) == digests(Path(outs[1]))
                print(
                    (
                        f"round {number + 1}: plain {plain[-1]:.1f} s, "
                        f"flow {flow[-1]:.1f} s, bytes {'equal' if same else 'DIFFER'}"
                    ),
                    flush=True,
                )
        finally:
            server.stop()
        print(
            f"ratio of the means {sum(flow) / sum(plain):.3f}, "
            f"{(sum(flow) - sum(plain)) / len(flow):.1f} s more"
        )


if __name__ == "__main__":
    main()
