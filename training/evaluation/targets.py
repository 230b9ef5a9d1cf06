"""Prompts for a model to play: held-out captions, and the same with one control swapped."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from pipelines.shards.find import find_shards
from schemas.caption import CaptionKind
from schemas.sample import Sample
from training.errors import TrainingError
from training.evaluation.originals import held_out, originals
from training.metrics.controls import PromptControls, stated_controls
from training.metrics.swap_kinds import SwapKind
from training.metrics.swapping import swapped_prompts

# the first kind that a sample has
_KINDS: Final = (CaptionKind.CONTROL, CaptionKind.SOURCE, CaptionKind.PARAPHRASE)


class TargetPrompt(NamedTuple):
    """A prompt to be played, in the fields of `Made` that do not depend on what comes of it."""

    name: str
    caption: str
    requested: PromptControls
    duration_s: float
    swap_of: str = ""
    reference: str = ""


def target_prompts(target: str, most: int) -> list[TargetPrompt]:
    """Captions of a target's test shards, of each song one before any has two; without such shards,
    of validation; else of all.

    Songs that count once are independent, which intervals take for granted. Originals alone. What a
    caption states is asked for, nothing else. Raises `TrainingError` where no sample of ours has a
    caption.
    """
    captioned = islice(_one_a_song(_captioned(target)), most)
    prompts = [
        TargetPrompt(one.key, text, stated_controls(text), one.duration_s, reference=one.key)
        for one, text in captioned
    ]
    if not prompts:
        raise TrainingError(f"{target} holds no sample of ours with a caption to play")
    return prompts


def with_swaps(prompts: Sequence[TargetPrompt], *, graded: bool = False) -> list[TargetPrompt]:
    """Each prompt, followed by itself with one control swapped, for each control that it states and
    that can be changed alone; `graded`: chords in each way in which they can be changed.
    """
    out: list[TargetPrompt] = []
    for one in prompts:
        out.append(one)
        out += [
            one._replace(
                name=f"{one.name}-{_in_name(kind)}",
                caption=swap.caption,
                requested=swap.requested,
                swap_of=one.name,
                reference="",
            )
            for kind, swap in swapped_prompts(one.caption, one.requested, graded=graded)
        ]
    return out


def _in_name(kind: SwapKind) -> str:
    return kind.replace(" ", "-")


def _one_a_song(found: Iterable[tuple[Sample, str]]) -> Iterator[tuple[Sample, str]]:
    """In order, but what a song has beyond its first comes last."""
    seen, later = set(), []
    for one in found:
        if one[0].song_id in seen:
            later.append(one)
        else:
            seen.add(one[0].song_id)
            yield one
    yield from later


def _captioned(target: str) -> Iterator[tuple[Sample, str]]:
    shards, _ = held_out(find_shards(target).shards)
    for _, sample in originals(shards):
        captions = sample.captions if sample else ()
        text = next((one.text for kind in _KINDS for one in captions if one.kind is kind), "")
        if sample and text:
            yield sample, text
