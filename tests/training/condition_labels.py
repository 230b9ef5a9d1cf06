"""Labels for tests."""

from schemas.labels import Beats, Chords, ChordSegment


def beats(*pairs: tuple[float, int]) -> Beats:
    """Beats of (time in seconds, number in the bar)."""
    times_s, numbers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Beats(
        times_s=tuple(times_s),
        numbers=tuple(numbers),
        confidence=0.9,
        tool="truth",
        version="1",
        licence="CC0",
    )


def chords(*names: str, each_s: float = 1.0) -> Chords:
    """Chords in Harte syntax, one after the other."""
    segments = tuple(
        ChordSegment(start_s=each_s * n, end_s=each_s * (n + 1), label=name)
        for n, name in enumerate(names)
    )
    return Chords(segments=segments, confidence=0.9, tool="truth", version="1", licence="CC0")
