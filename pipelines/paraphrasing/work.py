"""A bucket's captions as work to reword, and what came of it as files."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CAPTIONS, MOVED_LABELS, PARAPHRASES
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.paraphrasing.conversation import Rewording
from schemas.caption import Caption, CaptionKind
from schemas.corpus import SampleCaptions
from schemas.counts import ParaphraseCounts, Refusal, Refusals
from schemas.labels import Labels


class Work(NamedTuple):
    """One caption to reword, beside its sample's labels."""

    sample_key: str
    control: Caption  # or the source's, of a sample without control sentences
    labels: Labels


def works(job: Job) -> Iterator[Work]:
    """The captions of a bucket that are reworded, one a sample at most, in its samples' order."""
    captions = to_reword(job)
    for sample in MOVED_LABELS.read(job):
        if (caption := captions.get(sample.sample_key)) is not None:
            yield Work(sample.sample_key, caption, sample.labels)


def to_reword(job: Job) -> dict[str, Caption]:
    """The caption of each sample to reword: its control caption, else its first source caption."""
    out: dict[str, Caption] = {}
    for row in CAPTIONS.read(job):
        by_kind = {caption.kind: caption for caption in reversed(row.captions)}
        if found := by_kind.get(CaptionKind.CONTROL) or by_kind.get(CaptionKind.SOURCE):
            out[row.sample_key] = found
    return out


def publish(job: Job, done: Mapping[str, Rewording | Death]) -> Done:
    """Write what came of a bucket's work, and count: texts that landed, refusals by reason,
    captions that nobody answered.
    """
    refused: Counter[Refusal] = Counter()
    rows: list[SampleCaptions] = []
    dead: list[tuple[str, Death]] = []
    for key, found in done.items():
        if isinstance(found, Death):
            dead.append((key, found))
            continue
        rows.append(SampleCaptions(sample_key=key, captions=found.captions))
        refused.update(found.refused)
    counts = ParaphraseCounts(
        controls=len(done),
        landed=sum(len(row.captions) for row in rows),
        unanswered=len(dead),
        refused=Refusals.of(refused),
    )
    files = [PARAPHRASES.write(job, rows), *bucket.write_dead(job, PARAPHRASES, dead)]
    return Done(files, counts.plain())
