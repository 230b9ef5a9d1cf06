"""One bit changed in files of a build that holds every kind of file, and what is said of it; for
tests and for the benchmark of flips.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from flows.build.local import build, verify_build
from pipelines.beam.options import Engine
from pipelines.errors import PipelineError
from pipelines.synthesis.songs import write_songs
from schemas.label_recipe import LabelRecipe
from schemas.recipe import Recipe
from tests.support.building import digests
from tests.support.servers.llm_server import llm_server
from tests.support.tone_corpus import PLAIN

# The first pattern that a file's name matches says its kind.
KINDS: Final = {
    "runs/*": "reports of runs",
    "*.done.json": "markers",
    "versions/*": "versions",
    "*/plan.json": "plans",
    "answers/*": "answers of a language model",
    "ledger/*": "ledger",
    "assigned/*": "where songs stand",
    "shards/*.tar": "shards",
    "shards/*.json": "shard indexes",
    "variants/*.tar": "variants' audio",
    "latents/*.tar": "latents",
    "vocabulary*": "vocabularies, vectors, indexes",
    "[lpc][iru][sot]*/slice-*": "tables of inputs",
    "*/*.parquet": "tables of stages",
}
OUTSIDE: Final = "reports of runs"  # of the promise: nothing reads them but people
_MOODS: Final = (
    "calm pad",
    "airy lead",
    "sad choir",
    "warm strings",
    "bold brass",
    "bright keys",
    "dark bass",
    "soft drums",
)
_LINES: Final = tuple(
    f"A {one} flute plays over the {other} drums."
    for one in ("calm", "sad", "warm")
    for other in ("soft", "loud", "dry")
)


class Everything(NamedTuple):
    """A build of two pieces with every kind of file, its sources and recipe, and a copy of it that
    nobody touches.
    """

    sources: list[str]
    out: Path
    recipe: Recipe
    pristine: Path

    @property
    def files(self) -> list[str]:
        """All files with any content, by name."""
        found = (
            path
            for path in sorted(self.pristine.rglob("*"))
            if path.is_file() and path.stat().st_size
        )
        return [str(path.relative_to(self.pristine)) for path in found]

    def restore(self) -> None:
        """Undo whatever was done to the build."""
        shutil.rmtree(self.out)
        shutil.copytree(self.pristine, self.out)

    def build(self) -> None:
        """Build again, with the sources and the recipe that it was first built with."""
        build(self.sources, str(self.out), self.recipe, Engine(), lambda _: None)

    def changed(self) -> list[str]:
        """Files of the promise that are not those of the undisturbed build."""
        before, now = digests(self.pristine), digests(self.out)
        return sorted(
            name
            for name in before.keys() | now.keys()
            if before.get(name) != now.get(name) and not name.endswith(".damaged")
        )


class Flip(NamedTuple):
    """One bit of a file of a build."""

    file: str
    byte: int
    bit: int

    @property
    def kind(self) -> str:
        """What kind of file it is."""
        return next(
            (kind for pattern, kind in KINDS.items() if fnmatch(self.file, pattern)), self.file
        )

    @property
    def witness(self) -> str:
        """What vouches for the file: of one witness's files only one is flipped at a time, since a
        damaged witness cannot name others.
        """
        folder, _, name = self.file.rpartition("/")
        # each is made anew by the other
        if folder in ("assigned", "clips") and name != "plan.json":
            return "ledger/inputs"
        if folder == "ledger" and not name.startswith("inputs"):
            folder = "shards"
        if folder in ("", "versions"):
            return "versions"
        if folder == "vocabulary_index":
            return folder
        if folder == "answers" or name == "plan.json" or folder.startswith("runs"):
            return self.file
        return f"{folder}/{name.partition('.')[0]}"

    def apply(self, out: Path) -> None:
        """Change the bit."""
        path = out / self.file
        content = bytearray(path.read_bytes())
        content[self.byte] ^= 1 << self.bit
        path.write_bytes(bytes(content))


@contextmanager
def everything(folder: Path) -> Iterator[Everything]:
    """A build of two pieces: captions reworded by a model, pseudo-labels and their index, latents.

    Its server stands as long as it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    songs = write_songs(folder / "songs", songs=2)
    (folder / "moods.txt").write_text("\n".join(_MOODS))
    (folder / "lines.txt").write_text("\n".join(_LINES))
    vocabularies = tuple(str(folder / name) for name in ("moods.txt", "lines.txt"))
    with llm_server(folder / "server") as server:
        recipe = PLAIN.replaced(
            ingest=PLAIN.ingest.replaced(clip_s=4.0, small_buckets=1),
            vary=PLAIN.vary.replaced(rate_hz=8000),
            label=LabelRecipe(vocabularies=vocabularies, embedder="bridge", search="approximate"),
            pack=PLAIN.pack.replaced(embeddings=True),
            encode=PLAIN.encode.replaced(codec="mel"),
            caption=PLAIN.caption.replaced(
                paraphraser="openai", sentences=(0, 0, 1), paraphrases=2, max_similarity=1
            ),
            llm=PLAIN.llm.replaced(base_url=server.url, budget_usd=1.0, attempts=2),
        )
        made = Everything([str(songs)], folder / "out", recipe, folder / "pristine")
        made.build()
        shutil.copytree(made.out, made.pristine)
        yield made


def drawn(made: Everything, rng: np.random.Generator, count: int) -> list[Flip]:
    """Flips in files that different witnesses vouch for: a kind of all alike, then a file of it, a
    byte, a bit.
    """
    kinds: dict[str, list[str]] = {}
    for file in made.files:
        kinds.setdefault(Flip(file, 0, 0).kind, []).append(file)
    flips: dict[str, Flip] = {}
    while len(flips) < count:
        files = kinds[sorted(kinds)[rng.integers(len(kinds))]]
        file = files[rng.integers(len(files))]
        flip = Flip(
            file, int(rng.integers((made.pristine / file).stat().st_size)), int(rng.integers(8))
        )
        flips.setdefault(flip.witness, flip)
    return list(flips.values())


def said_by_verify(out: Path) -> tuple[str, ...]:
    """What `obbligato verify` says of a build, a line for each damaged file; nothing where it
    passes.
    """
    try:
        verify_build(str(out), Engine(), lambda _: None)
    except PipelineError as error:
        lines: tuple[str, ...] = getattr(error, "lines", (str(error),))
        return lines
    return ()


def names(lines: tuple[str, ...], flip: Flip) -> bool:
    """Whether a file is named."""
    return any(flip.file in line for line in lines)
