"""Our samples as rows of MusicBench, for code written against the published set.

MusicBench (J. Melechovský et al., "Mustango: Toward Controllable Text-to-Music Generation", NAACL
2024; card: amaai-lab/MusicBench) is JSON lines with sixteen fields. What we decided where the card
leaves room:

- `location`: the name under which `obbligato shards extract` writes the audio, ``<key>.flac``.
- `main_caption`: the control caption (the source's words with control sentences, as in TestB), else
  the source's own words, else "".
- `alt_caption`: the first paraphrase, else "".
- `prompt_aug`, `prompt_ch`, `prompt_bt`, `prompt_bpm`, `prompt_key`: the control sentence that
  states dynamics, chords, meter, tempo (number or word) and key; "" where the caption has none. A
  sentence of the source's own words is never one.
- `beats`: [times, numbers], both lists of floats; [[], []] where no beats were found.
- `bpm`: a float, or null (which pandas and `datasets` read as missing) where no tempo was found;
  never 0.
- `chords`, `chords_time`: lead-sheet symbols in ASCII as the key spells them, and when each begins
  in seconds. No-chord is left out, and so is a chord that comes back after it unchanged: both
  lists hold changes only.
- `key`: tonic and mode, ["F#", "minor"], and `keyprob`: one float, our confidence; both [] where no
  key was found.
- `is_audioset_eval_mcaps`: what the source's own metadata says (`is_audioset_eval`,
  `is_audioset_eval_mcaps`), else false.
"""

import json
from collections.abc import Iterator
from typing import Final, NamedTuple, TypedDict

from pipelines.errors import PipelineError
from pipelines.shards.extract import safe_name
from pipelines.shards.find import FoundShards, ShardProblem
from pipelines.shards.read import RawSample, as_ours, read_shard
from pipelines.storage.store import Store
from schemas.caption import Caption, CaptionKind
from schemas.fact import FactKind
from schemas.identity import Split
from schemas.pitch import Key
from schemas.sample import Sample

_STATES: Final = {
    "prompt_aug": (FactKind.DYNAMICS,),
    "prompt_ch": (FactKind.CHORDS,),
    "prompt_bt": (FactKind.METER,),
    "prompt_bpm": (FactKind.BPM, FactKind.TEMPO_WORD),
    "prompt_key": (FactKind.KEY,),
}
# MusicBench's name and MusicCaps's
_EVAL_FIELDS: Final = ("is_audioset_eval_mcaps", "is_audioset_eval")


class MusicBenchRow(TypedDict):
    """One line of the published set, its fields in its order."""

    dataset: str
    location: str
    main_caption: str
    alt_caption: str
    prompt_aug: str
    prompt_ch: str
    prompt_bt: str
    prompt_bpm: str
    prompt_key: str
    beats: list[list[float]]
    bpm: float | None
    chords: list[str]
    chords_time: list[float]
    key: list[str]
    keyprob: list[float]
    is_audioset_eval_mcaps: bool


def musicbench_row(sample: Sample, location: str, dataset: str) -> MusicBenchRow:
    """A sample as a row; the module's docstring says what each field holds."""
    label, key = sample.key_label, sample.key_label.key
    changes = _chord_changes(sample, key)
    control, source = _first(sample, CaptionKind.CONTROL), _first(sample, CaptionKind.SOURCE)
    paraphrase, main = _first(sample, CaptionKind.PARAPHRASE), control or source
    own_words = {
        sentence
        for caption in sample.captions
        if caption.kind is CaptionKind.SOURCE
        for sentence in caption.sentences
    }
    prompts = {name: _stating(control, kinds, own_words) for name, kinds in _STATES.items()}
    return MusicBenchRow(
        dataset=dataset,
        location=location,
        main_caption=main.text if main else "",
        alt_caption=paraphrase.text if paraphrase else "",
        prompt_aug=prompts["prompt_aug"],
        prompt_ch=prompts["prompt_ch"],
        prompt_bt=prompts["prompt_bt"],
        prompt_bpm=prompts["prompt_bpm"],
        prompt_key=prompts["prompt_key"],
        beats=[list(sample.beats.times_s), list(map(float, sample.beats.numbers))],
        bpm=sample.tempo.bpm,
        chords=[symbol for _, symbol in changes],
        chords_time=[start_s for start_s, _ in changes],
        key=[key.tonic_name, key.mode.value] if key else [],
        keyprob=[label.confidence] if key else [],
        is_audioset_eval_mcaps=_is_eval(sample.source.metadata),
    )


def _first(sample: Sample, kind: CaptionKind) -> Caption | None:
    return next((caption for caption in sample.captions if caption.kind is kind), None)


def _stating(control: Caption | None, kinds: tuple[FactKind, ...], own_words: set[str]) -> str:
    """The first control sentence that states a fact of one of these kinds."""
    if control is None:
        return ""
    stating = (
        control.sentences[fact.sentence]
        for fact in control.facts
        if fact.kind in kinds and fact.sentence < len(control.sentences)
    )
    return next((sentence for sentence in stating if sentence not in own_words), "")


def _chord_changes(sample: Sample, key: Key | None) -> list[tuple[float, str]]:
    changes: list[tuple[float, str]] = []
    for segment in sample.chords.segments:
        if segment.chord is not None and (symbol := segment.chord.symbol(key)) not in [
            last for _, last in changes[-1:]
        ]:
            changes.append((segment.start_s, symbol))
    return changes


def _is_eval(metadata: str) -> bool:
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):
        return False
    values = [found.get(name) for name in _EVAL_FIELDS] if isinstance(found, dict) else []
    return any(value is True or str(value).lower() == "true" for value in values)


class Located(NamedTuple):
    """A sample of ours, the name under which its audio is extracted, and what its shard holds."""

    sample: Sample
    location: str
    raw: RawSample


def our_samples(found: FoundShards) -> Iterator[Located | ShardProblem]:
    """All our samples of a target that have audio, and problems, such as foreign samples."""
    yield from found.problems
    for shard in found.shards:
        for entry in read_shard(shard):
            if isinstance(entry, ShardProblem):
                yield entry
                continue
            sample = as_ours(entry)
            if isinstance(sample, ShardProblem):
                yield sample
            elif sample is None and (entry.facts is not None or entry.texts):
                # else its JSON is a problem already
                yield ShardProblem(
                    shard=entry.shard,
                    key=entry.key,
                    code="foreign",
                    message="is not a sample of Obbligato: it has no labels to export",
                )
            elif sample and entry.audio:
                yield Located(sample, safe_name(entry.audio.name), entry)


def musicbench_rows(
    found: FoundShards, dataset: str, split: Split | None
) -> Iterator[MusicBenchRow | ShardProblem]:
    """Rows of all our samples of a target (of one split, if given), and problems."""
    for entry in our_samples(found):
        if isinstance(entry, ShardProblem):
            yield entry
        elif split in (None, entry.sample.split):
            yield musicbench_row(entry.sample, entry.location, dataset)


def free_file(to: str, *, force: bool) -> tuple[Store, str]:
    """The store of a file or URL that is to be written, and its name there.

    Raises `PipelineError` where it exists (unless `force`).
    """
    folder, _, name = to.rpartition("/")
    store = Store(folder or ("/" if to.startswith("/") else "."))
    if not force and store.exists(name):
        raise PipelineError(f"{to} exists: name another file, or --force to replace it")
    return store, name


def export(
    found: FoundShards, to: str, *, dataset: str, split: Split | None = None, force: bool = False
) -> Iterator[MusicBenchRow | ShardProblem]:
    """Write the rows to a file or URL, published whole at the end; gives each, and problems.

    Raises `PipelineError` where the file exists (unless `force`) or there is not one row.
    """
    store, name = free_file(to, force=force)
    rows = 0
    try:
        with store.writer(name) as out:
            for row in musicbench_rows(found, dataset, split):
                if not isinstance(row, ShardProblem):
                    out.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
                    rows += 1
                yield row
            if not rows:
                raise PipelineError(
                    "nothing to export: no sample of "
                    f"Obbligato{f' in split {split}' if split else ''}"
                )
    except OSError as error:
        raise PipelineError(f"{to} cannot be written: {error.strerror or error}") from error
