"""What people set right, laid over what was heard."""

from collections.abc import Iterable
from typing import Final

from schemas.labels import Correction, Labels, Origin

PARTS: Final = ("beats", "meter", "chords", "key", "not_music")  # of a correction


def folded(edits: Iterable[Correction]) -> dict[str, Correction]:
    """What is in force of corrections, oldest first, by clip: of each part the last that was set
    and not withdrawn.

    >>> how = {"clip_key": "00112233445566aa-0-8000", "who": "ann", "when": ""}
    >>> folded([Correction(**how, not_music="speech"), Correction(**how, withdrawn=("not_music",))])
    {}
    """
    found: dict[str, Correction] = {}
    for edit in edits:
        before = found.get(edit.clip_key)
        parts = {name: _latest(name, before, edit) for name in PARTS}
        found[edit.clip_key] = edit.replaced(**parts, withdrawn=())
    return {
        clip: edit
        for clip, edit in found.items()
        if any(getattr(edit, name) is not None for name in PARTS)
    }


def _latest(part: str, before: Correction | None, edit: Correction) -> object:
    if getattr(edit, part) is not None:
        return getattr(edit, part)
    if before is None or part in edit.withdrawn:
        return None
    return getattr(before, part)


def corrected(labels: Labels, edit: Correction) -> Labels:
    """A clip's labels with a correction in place of what was heard; the tempo is the beats'."""
    parts = {
        name: found
        for name in ("beats", "meter", "chords", "key")
        if (found := getattr(edit, name)) is not None
    }
    if edit.beats is not None:
        how = edit.beats
        parts["tempo"] = labels.tempo.replaced(
            confidence=how.confidence,
            tool=how.tool,
            version=how.version,
            licence=how.licence,
            origin=how.origin,
        )
    return labels.replaced(**parts)


def only_heard(labels: Labels) -> Labels:
    """The labels without those that a person set right: nothing is said in their place."""
    nothing: dict[str, dict[str, object]] = {
        "beats": {"times_s": (), "numbers": ()},
        "meter": {"beats_per_bar": None},
        "tempo": {"bpm": None},
        "chords": {"segments": ()},
        "key": {"tonic": None, "mode": None},
    }
    emptied = {
        name: claim.replaced(**fields)
        for name, fields in nothing.items()
        if (claim := getattr(labels, name)).origin is Origin.CORRECTED
    }
    return labels.replaced(**emptied)
