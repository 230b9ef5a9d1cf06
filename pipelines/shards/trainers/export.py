"""Our samples written as a trainer's data set: segments of audio, its own files, and a manifest."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from pipelines.audio.excerpts import Excerpts, excerpts
from pipelines.captioning.metadata import read_metadata
from pipelines.engine import bucket
from pipelines.engine.child_process import Child, Death
from pipelines.errors import DeadInput, PipelineError
from pipelines.shards.extract import safe_name
from pipelines.shards.find import FoundShards, ShardProblem
from pipelines.shards.musicbench import Located, our_samples
from pipelines.shards.trainers.folder import ExportFolder, export_folder
from pipelines.shards.trainers.formats import (
    LIMITS,
    METADATA_MODULE,
    ExportForm,
    Known,
    Segment,
    json_bytes,
    known_of,
    listing,
    sidecar,
)
from pipelines.shards.trainers.segments import LEAST_S, CutAt, SegmentSpan, segment_labels, spans
from pipelines.shards.trainers.texts import Described, segment_texts
from schemas.identity import Split, keyed_rng
from schemas.labels import Labels
from schemas.recipe import LimitsRecipe, Recipe
from schemas.sample import Sample

_BATCH: Final = 16
_BATCH_BYTES: Final = 32 << 20


class ExportedSet(NamedTuple):
    """What was written: segments by split, seconds of them and of the samples read, samples and
    segments left out by reason, licences by number of segments, and problems.
    """

    segments: dict[str, int]
    seconds: float
    samples: int
    sample_seconds: float
    left_out: dict[str, int]
    licences: dict[str, int]
    problems: tuple[ShardProblem, ...]


class AudioToCut(NamedTuple):
    """A sample's audio as its shard holds it, and the spans (start and end in seconds) to cut."""

    content: bytes
    duration_s: float
    spans: tuple[tuple[float, float], ...]


class _Waiting(NamedTuple):
    located: Located
    shard: str
    spans: list[SegmentSpan]
    audio: AudioToCut | Death


def export_for(
    trainer: ExportForm,
    found: FoundShards,
    to: str,
    *,
    recipe: Recipe,
    dataset: str,
    split: Split | None = None,
    force: bool = False,
) -> ExportedSet:
    """Write a folder that `trainer` reads, which appears whole or not at all.

    `recipe` says which confidences a fact must reach (`caption`), which columns hold instruments
    and moods, and the seed of drawn wordings. Files that a trainer is given name its audio by the
    folder's own place.

    Raises `PipelineError` where the folder holds anything but an export that may be replaced, or
    there is not one segment.
    """
    with export_folder(to, force=force) as folder:
        export = _DataSetWriter(trainer, recipe, folder)
        problems: list[ShardProblem] = []
        with bucket.child(LimitsRecipe()) as child:
            samples = _with_audio(found, split, LIMITS[trainer].most_s, export, problems)
            for batch in bucket.batches_by_bytes(samples, _BATCH, _BATCH_BYTES, _audio_bytes):
                problems += export.write(batch, child)
        if not export.segments:
            raise PipelineError(
                "nothing to export: no sample of Obbligato with audio and labels"
                f"{f' in split {split}' if split else ''}"
            )
        return export.close(dataset, tuple(problems))


def _with_audio(
    found: FoundShards,
    split: Split | None,
    most_s: float,
    export: "_DataSetWriter",
    problems: list[ShardProblem],
) -> Iterator[_Waiting]:
    """Samples with their audio; problems are listed as they are met."""
    for entry in our_samples(found):
        if isinstance(entry, ShardProblem):
            problems.append(entry)
            continue
        if split not in (None, entry.sample.split):
            export.left_out["sample_of_another_split"] += 1
            continue
        if entry.sample.guest is not None:  # two titles, two artists: a trainer's fields hold one
            export.left_out["sample_that_is_a_mix"] += 1
            continue
        parts = spans(entry.sample.labels, most_s)
        yield _Waiting(entry, entry.raw.shard, parts, _content(entry, parts))


def _audio_bytes(one: _Waiting) -> int:
    audio = one.located.raw.audio
    return audio.size if audio else 0


def _content(entry: Located, parts: Sequence[SegmentSpan]) -> AudioToCut | Death:
    audio = entry.raw.audio
    if audio is None:
        return Death("no_audio", "has no audio")
    try:
        content = entry.raw.content(audio)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
    where = tuple((span.start_s, span.end_s) for span in parts)
    return AudioToCut(content, entry.sample.duration_s, where)


def cut_audio(items: Sequence[AudioToCut], _context: None) -> list[Excerpts | Death]:
    """The segments of samples' audio; runs in the child."""
    return [_cut(item) for item in items]


def _cut(item: AudioToCut) -> Excerpts | Death:
    try:
        return excerpts(item.content, item.spans, item.duration_s)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)


class _DataSetWriter:
    """A data set being written: what stands in its files is known once all segments are."""

    def __init__(self, trainer: ExportForm, recipe: Recipe, folder: ExportFolder) -> None:
        self._trainer, self._recipe, self._folder = trainer, recipe, folder
        self.segments: dict[str, list[Segment]] = {}
        self._rows: list[dict[str, Any]] = []
        self.left_out: Counter[str] = Counter()
        self._names: set[str] = set()
        self._samples, self._sample_seconds = 0, 0.0

    def write(self, batch: Sequence[_Waiting], child: Child) -> list[ShardProblem]:
        """Cut and write the segments of some samples; gives a problem for each that cannot be."""
        whole = [one.audio for one in batch if isinstance(one.audio, AudioToCut)]
        answers = iter(child.run(cut_audio, whole, None) if whole else [])
        problems: list[ShardProblem] = []
        for one in batch:
            answer = next(answers) if isinstance(one.audio, AudioToCut) else one.audio
            if isinstance(answer, Death):
                figure = f" ({answer.figure})" if answer.figure else ""
                problems.append(
                    _problem(one, answer.code, f"is left out: {answer.message}{figure}")
                )
            elif (stem := _stem(one.located)) in self._names:
                problems.append(
                    _problem(one, "repeated_key", "is left out: another shard has its key too")
                )
            else:
                self._names.add(stem)
                self._write_sample(one.located.sample, stem, one.spans, answer)
        return problems

    def _write_sample(
        self, sample: Sample, stem: str, parts: Sequence[SegmentSpan], audio: Excerpts
    ) -> None:
        self._samples += 1
        self._sample_seconds += sample.duration_s
        for span, (content, duration_s) in zip(parts, audio.pieces, strict=True):
            if span.at is CutAt.BARS and span.end_s - span.start_s < LEAST_S:
                self.left_out["segment_too_short"] += 1
                continue
            name = f"{stem}-{round(span.start_s * 1000)}-{round(span.end_s * 1000)}"
            labels = segment_labels(sample.labels, span)
            segment = describe(
                self._trainer, sample, span, labels, self._recipe, name, audio.rate_hz, duration_s
            )
            if segment.known == Known() and not segment.texts.different:
                self.left_out["segment_of_which_nothing_is_known"] += 1
            else:
                self._write_segment(sample, span, segment, content)

    def _write_segment(
        self, sample: Sample, span: SegmentSpan, segment: Segment, content: bytes
    ) -> None:
        self._folder.write(segment.file, content)
        beside = sidecar(self._trainer, segment)
        if beside is not None:
            self._folder.write(segment.file.replace(".flac", ".json"), json_bytes(beside))
        self.segments.setdefault(segment.split, []).append(segment)
        self._rows.append(_manifest_row(sample, span, segment))

    def close(self, dataset: str, problems: tuple[ShardProblem, ...]) -> ExportedSet:
        """Write the trainer's own files and the manifest."""
        root = str(self._folder.root)
        if self._trainer is ExportForm.STABLE_AUDIO_TOOLS:
            self._folder.write("metadata.py", METADATA_MODULE.encode())
        for split, segments in sorted(self.segments.items()):
            self._folder.write(*listing(self._trainer, segments, split, root, dataset))
        every = [segment for segments in self.segments.values() for segment in segments]
        done = ExportedSet(
            {split: len(segments) for split, segments in sorted(self.segments.items())},
            round(sum(segment.duration_s for segment in every), 3),
            self._samples,
            round(self._sample_seconds, 3),
            dict(sorted(self.left_out.items())),
            dict(sorted(Counter(segment.source.licence for segment in every).items())),
            problems,
        )
        counts = {name: value for name, value in done._asdict().items() if name != "problems"}
        bad = [problem.model_dump() for problem in problems]
        about = {"for": self._trainer.value, "dataset": dataset, **counts, "problems": bad}
        self._folder.close({**about, "audio": self._rows})
        return done


def describe(
    trainer: ExportForm,
    sample: Sample,
    span: SegmentSpan,
    labels: Labels,
    recipe: Recipe,
    name: str,
    rate_hz: int,
    duration_s: float,
) -> Segment:
    """All that is said of a segment of `sample`, of which `labels` are the segment's own."""
    limits = LIMITS[trainer]
    metadata = read_metadata(sample.source, recipe.caption)
    is_whole = span.start_s == 0 and span.end_s == sample.duration_s
    rng = keyed_rng(recipe.corpus.seed, name, "export")
    texts = segment_texts(
        Described(labels, is_whole, sample.captions, metadata, sample.change),
        recipe.caption,
        rng,
        apart=limits.apart,
        most_tokens=limits.most_tokens,
    )
    either = [text for text in (texts.line, texts.paragraph) if text]
    caption = either[int(rng.random() * len(either))] if either else texts.tags
    known = known_of(labels, recipe.caption)
    return Segment(
        name,
        sample.split.value,
        duration_s,
        rate_hz,
        known,
        texts,
        caption,
        sample.source,
        metadata,
    )


def _manifest_row(sample: Sample, span: SegmentSpan, segment: Segment) -> dict[str, Any]:
    """Where an audio file comes from, under which licences, and what was said of it."""
    labels = {
        "beats": sample.beats,
        "meter": sample.meter,
        "tempo": sample.tempo,
        "chords": sample.chords,
        "key": sample.key_label,
    }
    return {
        "file": segment.file,
        "sample": sample.key,
        "start_s": span.start_s,
        "end_s": span.end_s,
        "cut_at": span.at.value,
        "source": sample.source.uri,
        "title": sample.source.title,
        "artist": sample.source.artist,
        "licence": sample.source.licence,
        "label_licences": {name: claim.licence for name, claim in labels.items() if claim.licence},
        **segment.texts._asdict(),
    }


def _stem(located: Located) -> str:
    return safe_name(located.location).partition(".")[0]


def _problem(one: _Waiting, code: str, message: str) -> ShardProblem:
    return ShardProblem(shard=one.shard, key=one.located.sample.key, code=code, message=message)
