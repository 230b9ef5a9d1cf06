"""Real engines on this machine, by infra/cluster/run.sh: the same bytes, nothing left behind, and
no key in what was written.

An engine that is not there is skipped: Prism wants its program on PATH, Flink and Spark their
distributions and Beam's job servers by FLINK_HOME, FLINK_JOB_SERVER_JAR, SPARK_HOME and
SPARK_JOB_SERVER_JAR.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

from flows.build.recipe_files import recipe_toml
from tests.support import building
from tests.support.servers.real_engine import through, words_of
from tests.support.tone_corpus import PLAIN, Corpus

pytestmark = pytest.mark.slow
WANTED: Final = {
    "prism": (),
    "flink": ("FLINK_HOME", "FLINK_JOB_SERVER_JAR"),
    "spark": ("SPARK_HOME", "SPARK_JOB_SERVER_JAR"),
}
KEYS: Final = {  # which no log of an engine may show
    "AWS_ACCESS_KEY_ID": "AKIAHUSH0THE0KEYS0ID",
    "AWS_SECRET_ACCESS_KEY": "hushhushTheSecretKeyItself0123456789",
}
ENDS_WITHIN_S = 900  # a build that hangs is a failure


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Six tones and their local build."""
    corpus = Corpus(tmp_path_factory.mktemp("tones"), songs=6)
    corpus.build()
    return corpus


def absent(engine: str) -> str:
    """What is missing for an engine; empty where all is there."""
    if subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        return "network namespaces cannot be made here"
    if engine == "prism" and not shutil.which("prism"):
        return "prism is not on PATH: go install github.com/apache/beam/sdks/v2/go/cmd/prism"
    missing = [name for name in WANTED[engine] if not Path(os.environ.get(name, "")).is_absolute()]
    return f"{' and '.join(missing)} not set" if missing else ""


@pytest.mark.parametrize("engine", WANTED)
def test_an_engine_gives_the_bytes_of_a_local_build_and_leaves_nothing_behind(
    engine: str, tones: Corpus, tmp_path: Path
) -> None:
    if reason := absent(engine):
        pytest.skip(reason)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe_toml(PLAIN, comments=False))
    out, logs = tmp_path / "out", tmp_path / "logs"
    command = [sys.executable, "-m", "flows.cli", "build", str(tones.folder / "songs.csv")]
    run = through(engine, [*command, "--out", str(out), "--recipe", str(recipe)], logs)
    done = subprocess.run(
        run.command,
        env={**run.environment, **KEYS},
        cwd=building.ROOT,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert building.digests(out) == building.digests(tones.out)
    written = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    written |= building.written_below(logs, out)
    assert str(logs / "pool.log") in building.telling(
        written, "Starting worker"
    )  # what is searched is there
    assert building.telling(written, *KEYS.values()) == []
    assert [one for one in psutil.process_iter() if str(logs) in words_of(one)] == []
