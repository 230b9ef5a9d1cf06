"""The order of the steps, stated once.

What else there is to know of them follows: folders, markers, what a recipe leaves out.
"""

from collections.abc import Callable
from typing import Final

from flows.errors import UsageError
from pipelines.build.outputs import Partition
from pipelines.engine.stage import CorpusStep, Stage, Step
from pipelines.stages.inputs import assign_buckets, cut, list_inputs, probe
from pipelines.stages.labels import (
    annotate,
    embed_audio,
    filter,
    mix,
    move_labels,
    near_duplicates,
    vary,
)
from pipelines.stages.output import close, encode, pack, verify
from pipelines.stages.texts import (
    caption,
    dedup_paraphrases,
    embed_paraphrases,
    embed_vocabulary,
    gather_vocabulary,
    index_vocabulary,
    label,
    match_texts,
    paraphrase,
    text_frequencies,
)
from schemas.recipe import Recipe

ALL_STEPS: Final[tuple[Step, ...]] = (
    list_inputs.STEP,
    probe.STAGE,
    cut.STAGE,
    assign_buckets.STEP,
    annotate.STAGE,
    embed_audio.STAGE,
    near_duplicates.STAGE,
    filter.STAGE,
    vary.STAGE,
    mix.STAGE,
    move_labels.STAGE,
    encode.STAGE,
    caption.STAGE,
    paraphrase.STAGE,
    embed_paraphrases.STAGE,
    dedup_paraphrases.STAGE,
    gather_vocabulary.STEP,
    embed_vocabulary.STAGE,
    index_vocabulary.STEP,
    match_texts.STAGE,
    text_frequencies.STAGE,
    label.STAGE,
    pack.STAGE,
    verify.STAGE,
    close.STEP,
)
STEPS: Final = {step.name: step for step in ALL_STEPS}
ORDER: Final = tuple(
    step for step in ALL_STEPS if isinstance(step, Stage) and step.partition is Partition.BUCKETS
)
_WRITTEN: Final = tuple(output for step in ALL_STEPS for output in step.writes)
MARKED: Final = tuple(  # folders with markers, of buckets or of slices
    dict.fromkeys(output.folder for output in _WRITTEN if output.partition is not Partition.WHOLE)
)
DIVIDING: Final = {
    step.divides: step
    for step in ALL_STEPS
    if isinstance(step, CorpusStep) and step.divides is not None
}
# the step from which on sources are not looked at again
LISTED: Final = DIVIDING[Partition.LISTING].name
# the step from which on clips stay in their buckets
ASSIGNED: Final = DIVIDING[Partition.BUCKETS].name
RENAMED: Final = {  # steps by the names that an earlier version had for them
    "list": "list_inputs",
    "ingest": "probe",
    "settle": "assign_buckets",
    "near": "near_duplicates",
    "embed": "embed_paraphrases",
    "distinct": "dedup_paraphrases",
    "gather": "gather_vocabulary",
    "index": "index_vocabulary",
    "match": "match_texts",
    "weigh": "text_frequencies",
}


def step_name(name: str, report: Callable[[str], None]) -> str:
    """The name of a step, also where an old one is given, which is passed to `report`.

    Raises `UsageError` where there is no such step.

    >>> step_name("settle", print)
    step settle is called assign_buckets now
    'assign_buckets'
    """
    if name in RENAMED:
        report(f"step {name} is called {RENAMED[name]} now")
    found = RENAMED.get(name, name)
    if found not in STEPS:
        raise UsageError(f"{name} is not a step: expected {', '.join(STEPS)}")
    return found


def order_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages over buckets that a recipe asks for."""
    return tuple(stage for stage in ORDER if stage.enabled(recipe))


def steps_of(recipe: Recipe, *, after: str = "", until: str = "") -> tuple[str, ...]:
    """The steps of a build by a recipe: all, or those after a step and up to another.

    >>> "match_texts" in steps_of(Recipe()), steps_of(Recipe())[:5]
    (False, ('list_inputs', 'probe', 'cut', 'assign_buckets', 'annotate'))
    >>> steps_of(Recipe(), after="cut", until="filter")
    ('assign_buckets', 'annotate', 'filter')
    """
    names = tuple(STEPS)
    first = names.index(after) + 1 if after else 0
    last = names.index(until) if until else len(names)
    return tuple(step.name for step in ALL_STEPS[first : last + 1] if step.enabled(recipe))
