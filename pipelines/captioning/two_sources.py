"""Captions of a mix: what its two sources say, each of its own, and nothing that its labels do not
confirm.
"""

from collections.abc import Iterator, Sequence

from pipelines.captioning.confirmed import unconfirmed
from pipelines.captioning.moving import moved_text
from schemas.corpus import Change, Guest
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe

_MIX = Change(variant="m1")


def joined_sources(
    host: Sequence[str],
    guest: Sequence[str],
    fitted: Guest,
    labels: Labels,
    recipe: CaptionRecipe,
) -> tuple[str, ...]:
    """A caption of a mix for each of the host's or the guest's, whichever are more.

    What a source says of the whole of it ("a sad piano solo") is not true of both at once: each
    speaks of its own. Sentences that state a fact which no sure label of the mix confirms are left
    out.
    """
    change = _MIX.replaced(speed=fitted.speed, semitones=fitted.semitones)
    ours = [text for text in (_kept(one, _MIX, labels, recipe) for one in host) if text]
    theirs = [text for text in (_kept(one, change, labels, recipe) for one in guest) if text]
    return tuple(dict.fromkeys(_joined(ours, theirs)))


def _joined(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    for number in range(max(len(ours), len(theirs))):
        said = ["Two pieces of music sound together."]
        if ours:
            said.append(f"One of them: {ours[number % len(ours)]}")
        if theirs:
            said.append(f"{'The other' if ours else 'One of them'}: {theirs[number % len(theirs)]}")
        yield " ".join(said)


def _kept(text: str, change: Change, labels: Labels, recipe: CaptionRecipe) -> str:
    """The sentences of a source that hold in the mix, after what was done to it."""
    moved = moved_text(text, change, labels.duration_s, labels.key.key)
    kept = (one for one in moved.sentences if unconfirmed(one, labels, _MIX, recipe) is None)
    return " ".join(kept)
