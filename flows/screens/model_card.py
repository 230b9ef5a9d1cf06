"""The model card, for people (README.md) and programs (model.json).

It says what a model learned from, how, how well, and under which licences.

Lineage goes by content: each corpus by the SHA-256 of its dataset.json, which names its recipe,
tools and shards; the training recipe by its own.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from pipelines.embedders import minilm
from pipelines.stages.output.close import plain_line
from pipelines.storage.store import digest
from schemas.codec import CodecFacts
from schemas.record import Record
from training.diffusion.text_encoder import MINILM, OURS
from training.evaluation.clips import CheckpointFacts
from training.metrics.summary import Figure
from training.run.corpus_survey import CorpusSurvey, DatasetFacts
from training.run.recipe import TextRecipe, TrainRecipe
from training.run.run_state import Parent, RunState
from training.tokens.recipe import TokensRecipe

CARD: Final = "README.md"
DOCUMENT: Final = "model.json"
UNKNOWN: Final = "unknown"
_FLAN: Final = "google/flan-t5-"
_PLAIN: Final = re.compile(r"[\w./-]")
_MOST_LICENCES: Final = 20  # of a corpus's sources, on the card


class Figures(Record):
    """Last figures of a run's log."""

    train_loss: float | None = None
    validation_loss: float | None = None
    samples_per_s: float | None = None


class Corpus(Record):
    """A corpus that was learned from, and whether it is still there."""

    facts: DatasetFacts
    # whether the dataset.json found there now is the one learned from; none where there is none
    stands: bool | None
    version: int | None = None  # of the dataset, where that is what stands


class Evaluation(Record):
    """What `obbligato evaluate` found of a checkpoint."""

    report_sha256: str  # of report.json
    checkpoint: CheckpointFacts | None  # the weights that played
    reference: str  # what was compared with, and its split
    reference_split: str
    seed: int
    clips: int  # swaps left out
    figures: tuple[Figure, ...]
    distances: dict[str, float]  # and likenesses, in the embedder's space, which is named
    memorized: tuple[Figure, ...] = ()  # shares of copies of what was learned from
    memorized_samples: int = 0  # that were searched

    @property
    def values(self) -> dict[str, float]:
        """All of it by name."""
        return {
            figure.name: figure.value for figure in (*self.figures, *self.memorized)
        } | self.distances


class ModelFacts(Record):
    """All that a model card says."""

    name: str
    obbligato: str
    torch: str
    checkpoint: str  # within the run's folder
    step: int
    samples: int  # learned from, repetitions counted
    unusable: int
    parameters: int
    recipe_sha256: str
    recipe: dict[str, Any]
    corpora: tuple[Corpus, ...]
    codec: CodecFacts
    text_encoder: str
    text_licence: str
    figures: Figures
    evaluation: Evaluation | None = None
    parents: tuple[Parent, ...] = ()  # what its weights began as, the oldest first
    teacher: Parent | None = None  # of a student, which was distilled from it


class FoundCorpus(Record):
    """What was found of a corpus: the SHA-256 of its dataset.json, and the version it is."""

    sha256: str
    version: int | None = None


def model_facts(
    name: str,
    recipe: TrainRecipe | TokensRecipe,
    survey: CorpusSurvey,
    state: RunState,
    *,
    checkpoint: str,
    parameters: int,
    found: Sequence[FoundCorpus | None],
    figures: Figures,
    evaluation: Evaluation | None = None,
) -> ModelFacts:
    """What there is to say of a checkpoint, by its files and what was `found` of its corpora."""
    values = recipe.model_dump(mode="json")
    return ModelFacts(
        name=name,
        obbligato=state.obbligato,
        torch=state.torch,
        checkpoint=checkpoint,
        step=state.step,
        samples=state.samples,
        unusable=state.unusable,
        parameters=parameters,
        recipe_sha256=digest(values),
        recipe=values,
        corpora=tuple(
            _corpus(facts, there) for facts, there in zip(survey.datasets, found, strict=True)
        ),
        codec=survey.codec,
        text_encoder=_text_encoder(recipe.text),
        text_licence=text_licence(_text_encoder(recipe.text)),
        figures=figures,
        evaluation=evaluation,
        parents=state.parents,
        teacher=next((one for one in state.parents if one.is_teacher), None),
    )


def _text_encoder(text: TextRecipe) -> str:
    """Its source; of a plug-in, its name before that."""
    return text.source if text.encoder == OURS else f"{text.encoder} {text.source}"


def text_licence(source: str) -> str:
    """Licence of a text encoder's weights, as far as it is known by their name.

    >>> text_licence("google/flan-t5-large"), text_licence("/models/ours")
    ('Apache-2.0', 'unknown')
    """
    if source == MINILM:
        return minilm.LICENCE
    return "Apache-2.0" if source.startswith(_FLAN) else UNKNOWN


def _corpus(facts: DatasetFacts, found: FoundCorpus | None) -> Corpus:
    if found is None:
        return Corpus(facts=facts, stands=None)
    stands = found.sha256 == facts.sha256
    return Corpus(facts=facts, stands=stands, version=found.version if stands else None)


_PLAYED: Final = 'obbligato sample "A calm song in A minor at 90 BPM" --model .'
_CODES_PLAYED: Final = "obbligato sample --model . --of song.flac --keep beats"


def model_card(facts: ModelFacts, commands: Sequence[str] = ()) -> str:
    """The card, in Markdown; `commands` play the model, without any Obbligato's own."""
    model, codes = facts.recipe["model"], facts.recipe.get("codes")
    commands = commands or (_PLAYED, *([_CODES_PLAYED] if codes else []))
    lines = [
        f"# {plain_line(facts.name)}",
        "",
        (
            f"A {'masked model of codes' if codes else 'text-to-music model'} of "
            f"{facts.parameters / 1e6:.3g} million parameters"
            f"{_told(model)}, {'trained' if facts.step else 'imported'} by Obbligato "
            f"{plain_line(facts.obbligato)} with torch {plain_line(facts.torch)}: "
            f"{facts.step} steps, {facts.samples} samples."
        ),
        "",
        *(f"    {command}" for command in commands),
        "",
        "| | |",
        "|---|---|",
        f"| checkpoint | {_code(facts.checkpoint)} |",
        f"| net | {_net(model)} |",
        (
            f"| length | {facts.recipe['data']['seconds']:g} s, "
            f"{facts.codec.rate_hz / 1000:g} kHz {facts.codec.channel_name} |"
        ),
        f"| training recipe | sha256 {_code(facts.recipe_sha256)}; whole in `{DOCUMENT}` |",
        *(
            [f"| codes | {codes['books']} codebooks of {codes['entries']} entries |"]
            if codes
            else []
        ),
        *(f"| {name} | {value:.4g} |" for name, value in _figures(facts.figures)),
        f"| unusable samples | {facts.unusable} |",
    ]
    if facts.evaluation:
        lines += ["", "## Does it play what is asked", "", *_measured(facts.evaluation)]
        if facts.evaluation.memorized:
            lines += ["", "## Songs learned by heart", "", *_memorized(facts.evaluation)]
    if facts.parents:
        lines += ["", "## Began as", "", *map(_began_as, facts.parents)]
    if facts.teacher:
        lines += ["", *_distilled(facts.teacher, facts.recipe)]
    lines += ["", "## Learned from", ""] if facts.corpora else []
    for corpus in facts.corpora:
        lines += _lineage(corpus)
    return "\n".join([*lines, "", "## Licences", "", *_licences(facts)]) + "\n"


def _net(model: dict[str, Any]) -> str:
    """A UNet by its widths, a transformer by its own and its depth."""
    if "widths" in model:
        return f"UNet, widths {', '.join(map(str, model['widths']))}"
    if "family" in model:
        return f"{plain_line(model['family'])}, released by others"
    return f"transformer, {model['depth']} blocks of width {model['width']}"


def _told(model: dict[str, Any]) -> str:
    """That it is told beats and chords, where it is."""
    takes = {*model["controls"], *model["rows"]} & {"beats", "chords"}
    return f" that is told {' and '.join(sorted(takes))}" if takes else ""


def _began_as(parent: Parent) -> str:
    """Weights that a model began as, by what they hash to."""
    licence = f", {plain_line(parent.licence)}" if parent.licence else ""
    return (
        f"- **{plain_line(parent.name)}**{licence}, sha256 {_code(parent.sha256)}, "
        f"at {plain_line(parent.address)}"
    )


def _distilled(teacher: Parent, recipe: dict[str, Any]) -> list[str]:
    """That a model is a student, whose, and how it plays."""
    low, high = recipe["distil"]["guidance"]
    return [
        f"It is a student: distilled from **{plain_line(teacher.name)}**, weights sha256 "
        f"{_code(teacher.sha256)}, to play in few steps (`--steps 1` to 16, `--gamma`). It was "
        f"told guidance from {low:g} to {high:g}; what else its teacher was guided or kept within "
        "is learned, and not set any more."
    ]


def _code(text: str) -> str:
    """A hash or a path between backticks; whatever could end these is left out."""
    return f"`{''.join(_PLAIN.findall(text))}`"


def _figures(figures: Figures) -> list[tuple[str, float]]:
    named = (
        ("train loss", figures.train_loss),
        ("validation loss", figures.validation_loss),
        ("samples per second", figures.samples_per_s),
    )
    return [(name, value) for name, value in named if value is not None]


def _measured(found: Evaluation) -> list[str]:
    lines = ["| metric | | 95 % | clips |", "|---|---:|---:|---:|"]
    lines += [
        (
            f"| {plain_line(one.name)}, {plain_line(one.meaning)} | "
            f"{one.value:.3f} | {one.low:.3f} – {one.high:.3f} | {one.clips} |"
        )
        for one in found.figures
    ]
    lines += [
        f"| {plain_line(name)} | {value:.4g} | | {found.clips} |"
        for name, value in found.distances.items()
    ]
    weights = f", weights sha256 {_code(found.checkpoint.sha256)}" if found.checkpoint else ""
    against = f"{plain_line(found.reference)} {plain_line(found.reference_split)}".strip()
    return [
        *lines,
        "",
        (
            f"By `obbligato evaluate` against {against}, seed {found.seed}: report.json sha256 "
            f"{_code(found.report_sha256)}{weights}."
        ),
    ]


def _memorized(found: Evaluation) -> list[str]:
    rows = [
        f"| {plain_line(one.name)} | {plain_line(one.meaning)} | {100 * one.value:.1f} % | "
        f"{100 * one.low:.1f} – {100 * one.high:.1f} | {one.clips} |"
        for one in found.memorized
    ]
    return [
        "| of | | | 95 % | clips |",
        "|---|---|---:|---:|---:|",
        *rows,
        "",
        (
            f"Compared with {found.memorized_samples} training samples, at other pitches and "
            "speeds as well; held-out music shows what chance is."
        ),
    ]


def _lineage(corpus: Corpus) -> list[str]:
    facts = corpus.facts
    if not facts.sha256:
        return [
            f"- {plain_line(facts.target)}: {facts.samples} samples, shards without a dataset.json"
        ]
    version = f", version {corpus.version}" if corpus.version is not None else ""
    by = f", built by Obbligato {plain_line(facts.obbligato)}" if facts.obbligato else ""
    gone = {
        None: "; no longer there",
        False: "; what stands there now is another state of it",
        True: "",
    }[corpus.stands]
    return [
        f"- **{plain_line(facts.name) or 'a corpus'}**{version}: {facts.samples} samples{by}",
        f"  - at {plain_line(facts.target)}",
        f"  - dataset.json sha256 {_code(facts.sha256)}{gone}",
    ]


def _licences(facts: ModelFacts) -> list[str]:
    lines = [
        (
            f"- codec, {plain_line(facts.codec.name)} {plain_line(facts.codec.version)}: "
            f"{plain_line(facts.codec.licence)}; "
            "what is decoded with it is under it too"
        ),
        f"- text encoder, {plain_line(facts.text_encoder)}: {plain_line(facts.text_licence)}",
    ]
    lines += [
        f"- weights of {plain_line(one.name)}, which this model began as: "
        f"{plain_line(one.licence)}; training does not change it"
        for one in facts.parents
        if one.licence
    ]
    for corpus in facts.corpora:
        learned = corpus.facts
        name = plain_line(learned.name or learned.target)
        ranked = sorted(learned.sources.items(), key=lambda row: (-row[1], row[0]))
        lines += [
            f"- music of {name}, {plain_line(licence)}: {clips} clips"
            for licence, clips in ranked[:_MOST_LICENCES]
        ]
        if len(ranked) > _MOST_LICENCES:
            lines.append(
                f"- music of {name}, {len(ranked) - _MOST_LICENCES} "
                "more licences: see its dataset.json"
            )
        lines += [
            f"- labels of {name}, {plain_line(tool)}: {plain_line(licence)}"
            for tool, licence in learned.tools.items()
        ]
        if not learned.sources:
            lines.append(f"- music of {name}: {UNKNOWN}; see where it came from")
    return lines
