"""Facts for tests, given by their kind and what they say in words."""

from schemas.fact import Fact, FactKind, read_fact

WORDS = {
    FactKind.BPM: "98.44",
    FactKind.TEMPO_WORD: "andante",
    FactKind.METER: "3",
    FactKind.KEY: "Ab major",
    FactKind.CHORDS: "A:min C:maj/3",
    FactKind.DYNAMICS: "crescendo",
    FactKind.TIMED_CHORDS: "A:min@0 F:maj@2.5",
    FactKind.TIME: "5",
    FactKind.INSTRUMENT: "electric guitar",
    FactKind.MOOD: "melancholic",
}


def fact_of(kind: FactKind | str, words: str, sentence: int = 0) -> Fact:
    """A fact in the form of schema version 5, read as it stands in older shards: ``fact_of("key",
    "Ab major")``.
    """
    return read_fact({"kind": kind, "value": words, "sentence": sentence})


def one_of_each_kind() -> tuple[Fact, ...]:
    """A fact of every kind, none of whose fields is null or empty."""
    return tuple(fact_of(kind, WORDS[kind]) for kind in FactKind)
