"""The parts of a published set of MusicBench's kind, as files of JSON lines with its sixteen fields
(`pipelines.shards.musicbench` says which).

The names are those of the paper (J. Melechovský et al., "Mustango: Toward Controllable
Text-to-Music Generation", NAACL 2024):

- `TrainA`: training originals in the source's own words. `TrainB`: with 0 to 4 control sentences.
  `TrainC`: that, paraphrased.
- `train_augmented`: the varied copies, in their own control captions.
- `train`: all of training, 85 % of what has a paraphrase in its words and the rest not, by a draw
  keyed by the sample.
- `TestA`, `TestB`: the same clips without and with control sentences, half of them with captions
  that tell of a poor recording. In the published `TestB` each clip has all four control
  sentences; in ours, as many as the recipe's chances gave it.

`main_caption` is the text of the part, `alt_caption` the other: the source's words beside control
sentences, those beside a paraphrase, and beside them in `train` and `train_augmented` the
paraphrase; the source's own words have none, nor any `prompt_…`.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from enum import StrEnum
from typing import Final, NamedTuple

from pipelines.errors import PipelineError
from pipelines.shards.find import FoundShards, ShardProblem
from pipelines.shards.musicbench import MusicBenchRow, musicbench_row, our_samples
from pipelines.storage.store import FileWriter, Store
from schemas.caption import CaptionKind
from schemas.identity import Split, VariantKind, keyed_rng, stable_hash, variant_kind
from schemas.sample import Sample

# Mustango trains on 85 % paraphrases, 15 % captions as they were composed
PARAPHRASED_SHARE: Final = 0.85


class PartFile(StrEnum):
    """The files, by their names without `.jsonl`."""

    TRAIN_A = "TrainA"
    TRAIN_B = "TrainB"
    TRAIN_C = "TrainC"
    TRAIN_AUGMENTED = "train_augmented"
    TRAIN = "train"
    TEST_A = "TestA"
    TEST_B = "TestB"


class Exported(NamedTuple):
    """Rows written and skipped, the latter by reason, of each part; samples read, and those of no
    part, by what they are.
    """

    rows: dict[PartFile, int]
    skipped: dict[PartFile, dict[str, int]]
    samples: int
    of_no_part: dict[str, int]
    problems: tuple[ShardProblem, ...]


class PartRow(NamedTuple):
    """A row of a part, or (none) why there is none: the kind of text that is missing."""

    part: PartFile
    row: MusicBenchRow | None
    missing: str = ""


class _FirstCaptions(NamedTuple):
    """A sample's first caption of each kind, "" where it has none."""

    source: str
    control: str
    paraphrase: str


def export_parts(
    found: FoundShards,
    to: str,
    *,
    dataset: str,
    seed: int,
    words: Sequence[str],
    force: bool = False,
) -> Exported:
    """Write all parts into a folder or URL, each published whole at the end.

    `seed` and `words` are the recipe's, of draws and filter.

    Raises `PipelineError` where one of the files exists (unless `force`) or no part has a row.
    """
    store = Store(to)
    there = [part for part in PartFile if store.exists(_file(part))]
    if there and not force:
        raise PipelineError(
            f"{to}/{_file(there[0])} exists: name another folder, or --force to replace it"
        )
    try:
        with ExitStack() as files, tempfile.TemporaryFile() as spool:
            export = _Export(
                {part: files.enter_context(store.writer(_file(part))) for part in PartFile},
                seed,
                words,
            )
            problems: list[ShardProblem] = []
            for entry in our_samples(found):
                if isinstance(entry, ShardProblem):
                    problems.append(entry)
                    continue
                for line in export.take(
                    entry.sample, musicbench_row(entry.sample, entry.location, dataset)
                ):
                    spool.write(line)
            spool.seek(0)
            export.write_tests(iter(spool))
            if not any(export.rows.values()):
                raise PipelineError(
                    "nothing to export: no sample of Obbligato, "
                    "in train or test, that has the captions of any part"
                )
    except OSError as error:
        raise PipelineError(f"{to} cannot be written: {error.strerror or error}") from error
    skipped = {part: dict(sorted(export.skipped[part].items())) for part in PartFile}
    rows = {part: export.rows[part] for part in PartFile}
    return Exported(
        rows, skipped, export.samples, dict(sorted(export.of_no_part.items())), tuple(problems)
    )


class _Export:
    """Parts being written.

    What may be tested on is only known once all is read: until then, it waits as lines.
    """

    def __init__(self, files: dict[PartFile, FileWriter], seed: int, words: Sequence[str]) -> None:
        self._files, self._seed = files, seed
        self._poor = re.compile(
            rf"\b(?:{'|'.join(map(re.escape, words))})\b" if words else r"(?!)", re.IGNORECASE
        )
        # whether poor: rank and key
        self._ranked: dict[bool, list[tuple[int, str]]] = {True: [], False: []}
        self.rows: Counter[PartFile] = Counter()
        self.skipped: dict[PartFile, Counter[str]] = {part: Counter() for part in PartFile}
        self.of_no_part: Counter[str] = Counter()
        self.samples = 0

    def take(self, sample: Sample, row: MusicBenchRow) -> Iterator[bytes]:
        """Write a sample's rows of training; gives those that may be tested on, as a line that
        `write_tests` reads.
        """
        self.samples += 1
        original = variant_kind(sample.change.variant) is VariantKind.ORIGINAL
        if sample.split is Split.TRAIN:
            for part_row in train_rows(sample, row, self._seed):
                self._write(part_row)
        elif sample.split is Split.TEST and original:
            yield from self._candidate(sample, row)
        else:
            self.of_no_part[sample.split.value if original else f"{sample.split.value}_varied"] += 1

    def _candidate(self, sample: Sample, row: MusicBenchRow) -> Iterator[bytes]:
        texts = _texts(sample)
        missing = next((kind for kind in ("source", "control") if not getattr(texts, kind)), "")
        if missing:
            for part in (PartFile.TEST_A, PartFile.TEST_B):
                self.skipped[part][f"no_{missing}"] += 1
            return
        poor = any(
            self._poor.search(caption.text)
            for caption in sample.captions
            if caption.kind is CaptionKind.SOURCE
        )
        self._ranked[poor].append((stable_hash(self._seed, sample.key, "test"), sample.key))
        without, with_controls = (
            _in_own_words(row, texts.source),
            _with_texts(row, texts.control, texts.source),
        )
        yield (
            json.dumps(
                [sample.key, without, with_controls], ensure_ascii=False, allow_nan=False
            ).encode()
            + b"\n"
        )

    def write_tests(self, lines: Iterator[bytes]) -> None:
        """Write what is tested on: as many clips with poor recordings as without, the first of each
        by rank, in the order they came.
        """
        pairs = min(map(len, self._ranked.values()))
        chosen = {key for ranked in self._ranked.values() for _, key in sorted(ranked)[:pairs]}
        for line in lines:
            key, *rows = json.loads(line)
            for part, row in zip((PartFile.TEST_A, PartFile.TEST_B), rows, strict=True):
                if key in chosen:
                    self._write(PartRow(part, row))
                else:
                    self.skipped[part]["no_counterpart"] += 1

    def _write(self, part_row: PartRow) -> None:
        if part_row.row is None:
            self.skipped[part_row.part][f"no_{part_row.missing}"] += 1
            return
        self._files[part_row.part].write(
            json.dumps(part_row.row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        )
        self.rows[part_row.part] += 1


def train_rows(sample: Sample, row: MusicBenchRow, seed: int) -> Iterator[PartRow]:
    """A training sample's row in each part that it belongs to; `row` is its row as it stands."""
    texts = _texts(sample)
    composed = texts.control or texts.source
    if variant_kind(sample.change.variant) is VariantKind.ORIGINAL:
        yield PartRow(
            PartFile.TRAIN_A, _in_own_words(row, texts.source) if texts.source else None, "source"
        )
        yield PartRow(
            PartFile.TRAIN_B,
            _with_texts(row, composed, texts.source if texts.control else ""),
            "caption",
        )
        yield PartRow(PartFile.TRAIN_C, _with_texts(row, texts.paraphrase, composed), "paraphrase")
    else:
        yield PartRow(
            PartFile.TRAIN_AUGMENTED, _with_texts(row, composed, texts.paraphrase), "caption"
        )
    if texts.paraphrase and keyed_rng(seed, sample.key, "text").random() < PARAPHRASED_SHARE:
        yield PartRow(PartFile.TRAIN, _with_texts(row, texts.paraphrase, composed), "paraphrase")
    else:
        yield PartRow(PartFile.TRAIN, _with_texts(row, composed, texts.paraphrase), "caption")


def _texts(sample: Sample) -> _FirstCaptions:
    first = {caption.kind: caption.text for caption in reversed(sample.captions)}
    return _FirstCaptions(
        *(
            first.get(kind, "")
            for kind in (CaptionKind.SOURCE, CaptionKind.CONTROL, CaptionKind.PARAPHRASE)
        )
    )


def _with_texts(row: MusicBenchRow, main: str, alt: str) -> MusicBenchRow | None:
    """The row with other texts; none without a main one."""
    out = row.copy()
    out["main_caption"], out["alt_caption"] = main, alt
    return out if main else None


def _in_own_words(row: MusicBenchRow, source: str) -> MusicBenchRow:
    """The row as if no control sentence had been written."""
    out = row.copy()
    out["main_caption"], out["alt_caption"] = source, ""
    out["prompt_aug"] = out["prompt_ch"] = out["prompt_bt"] = out["prompt_bpm"] = out[
        "prompt_key"
    ] = ""
    return out


def _file(part: PartFile) -> str:
    return f"{part.value}.jsonl"
