"""Labels as an annotator would give them, from a few words."""

from collections.abc import Sequence

from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Key

HOW = {"confidence": 1, "tool": "test", "version": "1", "licence": "CC0-1.0"}


def heard_labels(
    chords: Sequence[tuple[str, float, float]] = (),
    beats_s: Sequence[float] = (),
    *,
    duration_s: float = 8.0,
    bpm: float | None = None,
    key: str = "",
    meter: int | None = 4,
) -> Labels:
    """Labels of a clip with these chords (label, start, end) and beats, the first a downbeat."""
    numbers = tuple(at % (meter or 4) + 1 for at in range(len(beats_s)))
    segments = tuple(
        ChordSegment(label=label, start_s=start_s, end_s=end_s) for label, start_s, end_s in chords
    )
    tonic = Key.parse(key) if key else None
    return Labels(
        duration_s=duration_s,
        beats=Beats(times_s=tuple(beats_s), numbers=numbers, **HOW),
        meter=Meter(beats_per_bar=meter, **HOW),
        tempo=Tempo(bpm=bpm, **HOW),
        chords=Chords(segments=segments, **HOW),
        key=KeyLabel(
            tonic=tonic.tonic if tonic else None, mode=tonic.mode if tonic else None, **HOW
        ),
    )


def laid_out(labels: Sequence[str], each_s: float = 2.0) -> tuple[tuple[str, float, float], ...]:
    """Chords one after the other, each as long."""
    return tuple((label, at * each_s, (at + 1) * each_s) for at, label in enumerate(labels))
