"""What a run shows on Prefect's page: progress while it works, counts and the card at its end."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.build.run_stage import StepReport
from pipelines.build.plans import gathered
from pipelines.build.tables import CARD
from pipelines.shards.label_statistics import LabelStats, build_stats
from pipelines.stages.output.close import plain_line
from pipelines.storage.store import Store
from schemas.agreement import LabelAgreement
from schemas.counts import ParaphraseCounts, in_words
from schemas.dataset import Dataset
from schemas.vocabulary import FormCounts

_LONGEST: Final = 600  # characters of an example
# between two looks at a step's progress: each is a request, and the server's work
_EVERY_S: Final = 5.0


class StepProgressBar:
    """The progress artifact of one step, or of a chain of them together; what ends at once has
    none.
    """

    def __init__(self, corpus: str, steps: str) -> None:
        self._key, self._steps = key("progress", corpus, steps), steps
        self._parts: dict[str, tuple[int, int]] = {}  # by step: done, and of how many
        self._artifact: UUID | None = None
        self._shown_at = time.monotonic()

    def show(self, step: str, done: int, total: int) -> None:
        """Show that so many of all inputs or clips are done by a step."""
        self._parts[step] = (done, total)
        done, total = map(sum, zip(*self._parts.values(), strict=True))
        ended = done >= total
        if not total or (
            time.monotonic() - self._shown_at < _EVERY_S and not (ended and self._artifact)
        ):
            return
        self._shown_at, percent = time.monotonic(), round(100.0 * done / total, 1)
        description = f"{self._steps}: {done} of {total}"
        if self._artifact is None:
            made = create_progress_artifact(percent, key=self._key, description=description)
            self._artifact = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._artifact, progress=percent, description=description)


def show_steps(corpus: str, reports: Sequence[StepReport]) -> None:
    """The counts of every step as a table."""
    create_table_artifact(
        [_step_row(report) for report in reports],
        key=key("steps", corpus),
        description=f"What each step of {plain_line(corpus)} did",
    )


def _step_row(report: StepReport) -> dict[str, Any]:
    return {
        "step": report.step,
        "buckets": report.buckets or "",
        "run now": report.run if report.buckets else "",
        "seconds": report.seconds,
        "own work, s": report.work_s,
        "counts": ", ".join(f"{name} {count}" for name, count in in_words(report.counts)),
    }


def show_rewording(corpus: str, reports: Sequence[StepReport]) -> None:
    """A language model's calls and costs, what of its answers was refused and why, and examples."""
    for report in reports:
        if report.told:
            text = rewording_report(report.counts, report.told)
            create_markdown_artifact(
                text,
                key=key("rewording", corpus),
                description=f"Captions of {plain_line(corpus)} in a language model's words",
            )


def rewording_report(counts: Mapping[str, Any], usage: Mapping[str, Any]) -> str:
    """The same, in Markdown."""
    reworded = ParaphraseCounts.model_validate(counts)
    rows = [*usage["calls"].items(), ("controls", reworded.controls), ("landed", reworded.landed)]
    lines = [
        (
            f"${usage['usd']:.4f} spent by this run, ${usage['usd_in_all']:.4f} of "
            f"${usage['budget_usd']:.2f} in all. "
            "What is set aside for calls of unknown end counts as spent."
        ),
        "",
        *_markdown_table(("", "count"), [*rows, ("unanswered", reworded.unanswered)]),
        "",
        *_markdown_table(("refused because", "times"), reworded.refused.ranked()),
    ]
    for name, examples in usage["examples"].items():
        for example in examples:
            texts = (plain_line(example[which], _LONGEST) for which in ("caption", "rewording"))
            lines += [
                "",
                f"**{plain_line(name)}**, {plain_line(example['sample'])}",
                "",
                f"> {next(texts)}",
                ">",
                f"> → {next(texts)}",
            ]
    return "\n".join(lines) + "\n"


def show_labels(corpus: str, store: Store) -> None:
    """How the pseudo-labels of a corpus spread."""
    text = label_report(build_stats(store), gathered(store).counts)
    create_markdown_artifact(
        text, key=key("labels", corpus), description=f"Pseudo-labels of {plain_line(corpus)}"
    )


def label_report(stats: LabelStats, vocabularies: Mapping[str, Mapping[str, FormCounts]]) -> str:
    """The same, in Markdown; and what became of the vocabularies' texts."""
    lines = [
        (
            f"{stats.labelled:,} of {stats.samples:,} samples "
            f"({100 * stats.coverage:.1f} %) have labels."
        ),
        "",
    ]
    heads = ("", "labels", "different", "entropy, bits", "Gini")
    rows = [
        (form.value, one.labels, one.distinct, f"{one.entropy_bits:.2f}", f"{one.gini:.2f}")
        for form, one in stats.forms.items()
    ]
    lines += _markdown_table(heads, rows)
    for form, one in stats.forms.items():
        for title, used in (("most used", one.head), ("least used", one.tail)):
            cells = [(plain_line(text.text, _LONGEST), text.samples) for text in used]
            lines += ["", *_markdown_table((f"{form.value}, {title}", "samples"), cells)]
    dropped = ("", "form", "texts", "kept", "duplicate", "dropped")
    counted = [
        (plain_line(name), form, found.texts, found.kept, found.duplicate, _reasons(found.dropped))
        for name, forms in vocabularies.items()
        for form, found in forms.items()
        if found.texts
    ]
    lines += ["", *_markdown_table(dropped, counted)]
    return "\n".join(lines) + "\n"


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{plain_line(why)} {count}" for why, count in counts.items())


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
    ]


def _figures(row: LabelAgreement) -> dict[str, str]:
    values = {name: getattr(row, name) for name in LabelAgreement.model_fields}
    return {name: "–" if value is None else f"{value:.3f}" for name, value in values.items()}


def show_dataset(corpus: str, store: Store, dataset: Dataset) -> None:
    """The agreement of labels as a table, the dataset card, and where the output is."""
    rows = [
        {"variants": kind, "samples": row.samples, **_figures(row)}
        for kind, row in dataset.agreement.items()
    ]
    create_table_artifact(
        rows,
        key=key("agreement", corpus),
        description="Labels extracted again, compared with the ones carried",
    )
    create_markdown_artifact(
        store.read_bytes(CARD).decode(),
        key=key("card", corpus),
        description=f"Dataset card of {plain_line(corpus)}",
    )
    url = store.url if "://" in store.url else f"file://{store.url}"
    create_link_artifact(
        url,
        link_text=store.url,
        key=key("output", corpus),
        description=f"Output of {plain_line(corpus)}",
    )


def show_changes(corpus: str, text: str) -> None:
    """What a new version changed."""
    create_markdown_artifact(
        text, key=key("changes", corpus), description=f"What changed in {plain_line(corpus)}"
    )


def key(*parts: str) -> str:
    """An artifact's key: Prefect takes lower-case letters, digits and dashes.

    >>> key("steps", "My corpus_2")
    'steps-my-corpus-2'
    """
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
