"""Keys asked for by hand, one after the other."""

from collections.abc import Sequence

from training.conditions.clip_controls import KeySpan, Span
from training.errors import TrainingError
from training.prompt_controls.requested import read_requested
from training.timed_controls.files import shown
from training.timed_controls.parts import Part


def keys_of_parts(parts: Sequence[Part]) -> tuple[KeySpan, ...]:
    """The keys of parts that have times.

    Raises `TrainingError` for what is not a key with its tonic.

    >>> from training.timed_controls.parts import read_parts
    >>> keys = keys_of_parts(read_parts("0-4: A minor; 4-8: C major", "--key", 8))
    >>> [(one.start_s, one.key.name) for one in keys]
    [(0.0, 'A minor'), (4.0, 'C major')]
    """
    return tuple(_key_span(part.span or Span(0, 0), part.text) for part in parts)


def _key_span(span: Span, text: str) -> KeySpan:
    stated = read_requested("", key=text).key
    if stated is None or stated.fact.key is None:
        raise TrainingError(f"--key {shown(text)} has no tonic: expected such as 'A minor'")
    return KeySpan(span.start_s, span.end_s, stated.fact.key)
