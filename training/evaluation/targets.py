"""Prompts for a model to play: held-out captions, and the same with one control swapped."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from pipelines.captioning.facts import stated
from pipelines.captioning.sentences import Attribute, available, control_sentence, rounds_of
from pipelines.shards.find import find_shards
from schemas.caption import CaptionKind
from schemas.identity import keyed_rng
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe
from schemas.sample import Sample
from training.errors import TrainingError
from training.evaluation.originals import held_out, originals
from training.metrics.controls import Control, PromptControls, estimated_controls, stated_controls
from training.metrics.swap_kinds import SwapKind
from training.metrics.swapping import swapped_prompts

# the first kind that a sample has
_KINDS: Final = (CaptionKind.CONTROL, CaptionKind.SOURCE, CaptionKind.PARAPHRASE)
_ATTRIBUTE: Final = {
    Control.TEMPO: Attribute.TEMPO,
    Control.KEY: Attribute.KEY,
    Control.CHORDS: Attribute.CHORDS,
    Control.METER: Attribute.METER,
}
# tempi as numbers, and chords in order, without their times: what a swap can change alone
_WORDING: Final = CaptionRecipe(bpm_share=1, chord_times_share=0)


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


def label_prompts(target: str, control: Control, most: int) -> list[TargetPrompt]:
    """Prompts that state one control as the labels of a target's held-out songs have it, and no
    other: one a song, in the words of our control sentences.

    Labels must be as sure as those that captions state. Where the source's caption has a sentence
    that states no fact, such as one about its instruments, the prompt begins with it. A song whose
    sentence does not read back as just that control is left out: long progressions, and tempi that
    nobody would write. Raises `TrainingError` where no song has a prompt.
    """
    shards, _ = held_out(find_shards(target).shards)
    samples = [sample for _, sample in originals(shards) if sample]
    written = ((one, _label_prompt(one, control)) for one in samples)
    prompts = [
        TargetPrompt(
            f"{one.key}-asked-{control}",
            text,
            stated_controls(text),
            one.duration_s,
            reference=one.key,
        )
        for one, text in islice(_once_a_song(written), most)
    ]
    if not prompts:
        raise TrainingError(
            f"no held-out song of {target} has a label of {control} that is sure enough to be "
            "stated"
        )
    return prompts


def all_label_prompts(target: str, most: int) -> list[TargetPrompt]:
    """The same for each control, so many at most of each. Raises `TrainingError` where there is
    none at all.
    """
    prompts: list[TargetPrompt] = []
    for control in Control:
        with suppress(TrainingError):  # one control's labels may all be unsure
            prompts += label_prompts(target, control, most)
    if not prompts:
        raise TrainingError(f"no held-out song of {target} has a label that is sure enough")
    return prompts


def _label_prompt(sample: Sample, control: Control) -> str:
    """The prompt of a sample; empty where there is none."""
    attribute = _ATTRIBUTE[control]
    if attribute not in available(sample.labels, _WORDING):
        return ""
    rng = keyed_rng(0, sample.key, f"label prompt: {control}")
    sentence = control_sentence(attribute, sample.labels, _WORDING, rng)
    text = " ".join((*_neutral(sample), sentence.text))
    return text if _states_just(stated_controls(text), sample.labels, control) else ""


def _neutral(sample: Sample) -> tuple[str, ...]:
    """The first sentence of the source's own words that states no fact, in a tuple; else none."""
    own = next((one for one in sample.captions if one.kind is CaptionKind.SOURCE), None)
    plain = (text for text in (own.sentences if own else ()) if not stated(text))
    return tuple(islice(plain, 1))


def _states_just(found: PromptControls, labels: Labels, control: Control) -> bool:
    """Whether a prompt states a control as labels have it, tempi rounded, and no other."""
    wanted = estimated_controls(labels)
    if control is Control.CHORDS:
        times = rounds_of(wanted.chords)
        may = (wanted.chords, wanted.chords[: len(wanted.chords) // times])
        return any(found == PromptControls(chords=chords) for chords in may)
    if control is Control.TEMPO:
        return wanted.bpm is not None and found == PromptControls(bpm=round(wanted.bpm))
    name = "key" if control is Control.KEY else "meter"
    return found == PromptControls.model_validate({name: getattr(wanted, name)})


def _once_a_song(written: Iterable[tuple[Sample, str]]) -> Iterator[tuple[Sample, str]]:
    """The first prompt of each song that has one."""
    seen = set()
    for sample, text in written:
        if text and sample.song_id not in seen:
            seen.add(sample.song_id)
            yield sample, text


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
