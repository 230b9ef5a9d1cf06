"""What the stages that write text count, as records; their markers and dataset.json hold these
counts as plain data.

Counts of several buckets add up leaf by leaf, whatever their depth: ``{"refused": {"facts":
{"lost": {"key": 2}}}}``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self, TypeAlias, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

from schemas.errors import SchemaError
from schemas.fact import FactKind
from schemas.record import Record
from schemas.shard import Count

S = TypeVar("S", bound=str)


def _checked(counts: dict[str, Any]) -> dict[str, Any]:
    for name, value in counts.items():
        if isinstance(value, dict):
            _checked(value)
        elif not isinstance(value, int):
            raise SchemaError(f"{name} holds {value!r}, which is neither a number nor counts")
    return counts


# of each name a whole number, or counts again
Counts: TypeAlias = Annotated[dict[str, Any], AfterValidator(_checked)]


class Reason(StrEnum):
    """Why an offered text is refused."""

    LOST = "lost"  # a fact of the source is not stated
    CHANGED = "changed"  # it is stated with another value
    ADDED = "added"  # a fact that the source does not state
    CONTRADICTS = "contradicts"  # a label, or another fact of the same text
    TOO_LONG = "too_long"
    EMPTY = "empty"
    MARKUP = "markup"  # links, code, lists, formulas: not a caption
    SAME = "same"  # word for word the source
    REPEATED = "repeated"  # word for word a text that was offered before
    TOO_FEW = "too_few"  # texts that were requested and never came


class Refusal(NamedTuple):
    """A reason, and the kind of the fact that it is about.

    None where it is about the text as a whole.
    """

    reason: Reason
    kind: FactKind | None = None

    @property
    def text(self) -> str:
        """In words: ``lost timed chords``, ``too long``."""
        return " ".join([self.reason, *([self.kind] if self.kind else [])]).replace("_", " ")


class Refusals(Record):
    """How often offered texts were refused: for a fact, by reason and kind; as a whole, by
    reason.
    """

    facts: dict[Reason, dict[FactKind, Count]] = Field(default_factory=dict)
    texts: dict[Reason, Count] = Field(default_factory=dict)

    @classmethod
    def of(cls, counted: Mapping[Refusal, int]) -> Self:
        """The record of refusals as they were counted.

        >>> counted = {Refusal(Reason.LOST, FactKind.KEY): 2, Refusal(Reason.EMPTY): 1}
        >>> refusals = Refusals.of(counted)
        >>> refusals.model_dump(mode="json")
        {'facts': {'lost': {'key': 2}}, 'texts': {'empty': 1}}
        """
        facts: dict[Reason, dict[FactKind, int]] = {}
        texts: dict[Reason, int] = {}
        for refusal, count in sorted(counted.items(), key=lambda row: row[0].text):
            if refusal.kind is None:
                texts[refusal.reason] = count
            else:
                facts.setdefault(refusal.reason, {})[refusal.kind] = count
        return cls(facts=facts, texts=texts)

    def ranked(self) -> list[tuple[str, int]]:
        """Each refusal in words with its count, the most frequent first.

        >>> Refusals(facts={"lost": {"timed_chords": 2}}, texts={"too_long": 3}).ranked()
        [('too long', 3), ('lost timed chords', 2)]
        """
        rows = [(Refusal(reason).text, count) for reason, count in self.texts.items()]
        for reason, kinds in self.facts.items():
            rows += [(Refusal(reason, kind).text, count) for kind, count in kinds.items()]
        return most_frequent(rows)


class StageCounts(Record):
    """Counts of a stage.

    Those of a build made before these records are read as far as they have the same names.
    """

    model_config = ConfigDict(extra="ignore")

    def plain(self) -> Counts:
        """The counts for a marker: what is zero or empty is left out, names in order."""
        return added([self.model_dump(mode="json", exclude_defaults=True)])


class CaptionEvent(StrEnum):
    """What is counted while captions are composed; each is a field of `CaptionCounts`."""

    MOVED = "moved"
    DROPPED = "dropped"
    SOURCE_DROPPED = "source_dropped"
    SOURCE_CONTRADICTS = "source_contradicts"
    CONTROL_LEFT_OUT = "control_left_out"
    METADATA_DROPPED = "metadata_dropped"
    METADATA_PROMPT_REFUSED = "metadata_prompt_refused"


class CaptionCount(NamedTuple):
    """What happened, and to what: a kind of fact, an attribute of the music, a fault of an item;
    empty where there is one kind alone.
    """

    event: CaptionEvent
    about: str = ""


class CaptionCounts(StageCounts):
    """What became of sources' words, of their metadata, and of our control sentences."""

    samples: Count = 0
    uncaptioned: Count = 0
    # facts of sources that were rewritten
    moved: dict[FactKind, Count] = Field(default_factory=dict)
    # sentences of sources, by the fact that cannot be moved
    dropped: dict[FactKind, Count] = Field(default_factory=dict)
    source_dropped: Count = 0  # sources with no sentence left
    # facts that a label denies, by what they are about
    source_contradicts: dict[str, Count] = Field(default_factory=dict)
    # sentences of ours, by what they are about
    control_left_out: dict[str, Count] = Field(default_factory=dict)
    # items, by what is wrong with them
    metadata_dropped: dict[str, Count] = Field(default_factory=dict)
    metadata_prompt_refused: Count = 0

    @classmethod
    def of(cls, counted: Mapping[CaptionCount, int], *, samples: int, uncaptioned: int) -> Self:
        """The record of what was counted.

        >>> moved, dropped = CaptionEvent.MOVED, CaptionEvent.SOURCE_DROPPED
        >>> counted = {CaptionCount(moved, "key"): 2, CaptionCount(dropped): 1}
        >>> CaptionCounts.of(counted, samples=3, uncaptioned=0).plain()
        {'moved': {'key': 2}, 'samples': 3, 'source_dropped': 1}
        """
        fields: Counts = {"samples": samples, "uncaptioned": uncaptioned}
        for (event, about), count in counted.items():
            if about:
                fields.setdefault(event.value, {})[about] = count
            else:
                fields[event.value] = count
        return cls.model_validate(fields)


class ParaphraseCounts(StageCounts):
    """What became of the captions that were to be reworded."""

    controls: Count = 0
    landed: Count = 0
    unanswered: Count = 0
    refused: Refusals = Refusals()


class DistinctCounts(StageCounts):
    """Paraphrases that stayed, and those that did not."""

    kept: Count = 0
    dropped_meaning: Count = 0
    dropped_near_duplicate: Count = 0


class PseudoLabelCounts(StageCounts):
    """Pseudo-labels that were given, and candidates and tags that no label confirms, by the kind of
    fact they state.
    """

    samples: Count = 0
    labelled: Count = 0
    long_labels: Count = 0
    short_labels: Count = 0
    unconfirmed: dict[FactKind, Count] = Field(default_factory=dict)
    tags_refused: dict[FactKind, Count] = Field(default_factory=dict)


def added(parts: Iterable[Mapping[str, Any]]) -> Counts:
    """Counts of several parts as one, by name and in its order.

    >>> one, other = {"empty": 1}, {"empty": 2, "same": 1}
    >>> added([{"landed": 1, "refused": one}, {"refused": other, "landed": 4}])
    {'landed': 5, 'refused': {'empty': 3, 'same': 1}}
    """
    numbers: Counter[str] = Counter()
    nested: dict[str, list[Mapping[str, Any]]] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, Mapping):
                nested.setdefault(name, []).append(value)
            else:
                numbers[name] += value
    whole: Counts = {**numbers, **{name: added(inner) for name, inner in nested.items()}}
    return dict(sorted(whole.items()))


def in_words(counts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, int]]:
    """Each count with its names in a row, for a line of a log or a cell of a table.

    >>> dict(in_words({"landed": 5, "refused": {"facts": {"lost": {"key": 2}}}}))
    {'landed': 5, 'refused facts lost key': 2}
    """
    for name, value in counts.items():
        if isinstance(value, Mapping):
            yield from in_words(value, f"{before}{name} ")
        else:
            yield f"{before}{name}", value


def most_frequent(rows: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Names with their counts, the most frequent first."""
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def by_name(counted: Mapping[S, int]) -> list[tuple[str, int]]:
    """Counts with their names in words, the most frequent first.

    >>> by_name({"key": 1, "timed_chords": 4})
    [('timed chords', 4), ('key', 1)]
    """
    return most_frequent([(name.replace("_", " "), count) for name, count in counted.items()])
