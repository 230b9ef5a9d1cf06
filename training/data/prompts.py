"""What a sample says of itself on one visit: a caption, some sentences of it left out, some
conditions dropped (arXiv 2311.08355), or known for a part of the time (arXiv 2311.07069).

Every draw is keyed by seed, sample and epoch, so a visit is the same on any worker, in any order,
after any interruption.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from schemas.caption import Caption, CaptionKind
from schemas.errors import SchemaError
from schemas.fact import FactKind
from schemas.identity import keyed_rng
from schemas.recipe import CaptionRecipe
from schemas.record import Confidence, Record
from schemas.sample import Sample
from training.conditions import CONTROLS, CURVES, Condition
from training.conditions.clip_controls import Known, Span
from training.data.metadata_prompts import metadata_prompt

_Chance = Confidence
_LABELS: Final = (CaptionKind.LABEL, CaptionKind.TAGS)


class PromptConfig(Record):
    """Chances of a visit. The defaults are Mustango's."""

    paraphrased: _Chance = Field(
        0.85,
        description=(
            "Chance of a paraphrase rather than a caption as it was composed. Mustango: 85 %."
        ),
    )
    labelled: _Chance = Field(
        0.5,
        description=(
            "Chance of a pseudo-label, each sentence and chunk of tags alike, where a sample has "
            "other captions too. Noise2Music has nothing else."
        ),
    )
    metadata: _Chance = Field(
        0.0,
        description=(
            "Chance of a prompt that is composed anew, of instruments, moods and genres of the "
            "source's metadata, where it names any. Stable Audio has nothing else."
        ),
    )
    metadata_columns: dict[str, str] = Field(
        CaptionRecipe().metadata_columns,
        description="What those are made of: our name = the source's column, as in `caption`.",
    )
    masking: float = Field(
        0.1,
        ge=0,
        description=(
            "A prompt of N sentences, M on average, is masked "
            "with the chance masking × N / M. Mustango: 10 %."
        ),
    )
    masked_min: _Chance = Field(
        0.2, description="Least share of the sentences that masking takes away. Mustango: 20 %."
    )
    masked_max: _Chance = Field(0.5, description="Largest. Mustango: 50 %.")
    drop_all: _Chance = Field(
        0.05, description="Chance that text and controls are dropped together. Mustango: 5 %."
    )
    drop_controls: _Chance = Field(
        0.0,
        description=(
            "Chance that all controls are dropped, but not the text: what guidance by condition "
            "leads away from. Mustango: never."
        ),
    )
    drop_each: _Chance = Field(
        0.05,
        description=(
            "Chance, each for itself and beside that, that text, beats, chords or key is. "
            "Mustango: 5 %."
        ),
    )
    drop_seconds: _Chance = Field(
        0.0,
        description=(
            "Chance, for itself, that a net that is told seconds is not. Where they are tokens "
            "they are dropped with all else too, at `drop_all`, which Stable Audio does in a tenth "
            "of visits."
        ),
    )
    drop_curves: _Chance = Field(
        0.5, description="Chance that dynamics, melody and onsets are dropped together."
    )
    drop_curve: _Chance = Field(
        0.3, description="Chance, each for itself and beside that, that one of these is."
    )
    spans: _Chance = Field(
        0.2,
        description=(
            "Chance, each for itself, that a control is known within one span of time alone, or "
            "but for one. In frame rows."
        ),
    )
    silent_drops: _Chance = Field(
        0.0,
        description=(
            "Chance that the caption's sentences that state a dropped control go with it. "
            "Mustango: never."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.masked_min > self.masked_max:
            raise SchemaError(
                f"masked_min {self.masked_min:g} exceeds masked_max {self.masked_max:g}"
            )
        return self


# nothing is left out: for validation and measurements
FULL_CONDITIONING: Final = PromptConfig(
    masking=0, drop_all=0, drop_each=0, drop_curves=0, drop_curve=0, spans=0
)
_STATING: Final = {
    Condition.BEATS: {FactKind.BPM, FactKind.TEMPO_WORD, FactKind.METER},
    Condition.CHORDS: {FactKind.CHORDS, FactKind.TIMED_CHORDS},
    Condition.KEY: {FactKind.KEY},
}


class Visit(NamedTuple):
    """The prompt of a sample this time, which conditions are dropped, and which are known in part.

    Where the text is dropped, the prompt is empty.
    """

    prompt: str
    dropped: frozenset[Condition]
    known: Known  # of the controls that are not known for all of the time
    seconds_dropped: bool = False  # where in its song it is, and how long that is, is dropped

    @property
    def all_dropped(self) -> bool:
        """Whether text and all controls are dropped."""
        return len(self.dropped) == len(Condition)


def visit(
    sample: Sample,
    *,
    seed: int,
    epoch: int,
    mean_sentences: float,
    config: PromptConfig | None = None,
    window: Span | None = None,
    unsaid: Collection[FactKind] = (),
) -> Visit:
    """The prompt and the dropped conditions of a sample in an epoch.

    A sample without captions has an empty prompt. `window`: the part of the sample that is learned,
    in which spans are drawn; of one that begins later than the sample, sentences that say when
    chords sound are left out. `unsaid`: kinds of facts that do not hold this time.
    """
    rules = config or PromptConfig()

    def rng_for(purpose: str) -> np.random.Generator:
        return keyed_rng(seed, sample.key, f"{purpose} in epoch {epoch}")

    dropped = dropped_conditions(rng_for("dropping"), rules)
    start_s, end_s = window or Span(0.0, sample.duration_s)
    known = known_spans(rng_for("spans"), end_s - start_s, dropped, rules)
    seconds_dropped = bool(rules.drop_seconds) and rng_for("seconds").random() < rules.drop_seconds
    if Condition.TEXT in dropped:
        return Visit("", dropped, known, seconds_dropped)
    left_out = {*unsaid, FactKind.TIMED_CHORDS} if start_s else set(unsaid)
    for condition, chance in zip(CONTROLS, rng_for("unsaid").random(len(CONTROLS)), strict=True):
        if condition in dropped and chance < rules.silent_drops:
            left_out |= _STATING.get(condition, set())
    caption = composed_anew(sample, rng_for, rules, left_out)
    caption = caption or sampled_caption(sample.captions, rng_for("caption"), rules)
    if caption is None:
        return Visit("", dropped, known, seconds_dropped)
    sentences = without_facts(caption, left_out)
    prompt = " ".join(masked(sentences, mean_sentences, rng_for("masking"), rules))
    return Visit(prompt, dropped, known, seconds_dropped)


def composed_anew(
    sample: Sample,
    rng_for: Callable[[str], np.random.Generator],
    config: PromptConfig,
    unsaid: Collection[FactKind],
) -> Caption | None:
    """A prompt of the source's metadata, by the chance that there is for it."""
    if not config.metadata:
        return None
    rng = rng_for("metadata")
    if rng.random() >= config.metadata:
        return None
    return metadata_prompt(sample, tuple(sorted(config.metadata_columns.items())), rng, unsaid)


def without_facts(caption: Caption, kinds: Collection[FactKind]) -> tuple[str, ...]:
    """The sentences of a caption that state no fact of these kinds.

    >>> from pipelines.captioning.paraphrase import captioned
    >>> caption = captioned("A flute in C major. It is slow.", CaptionKind.SOURCE)
    >>> without_facts(caption, {FactKind.KEY})
    ('It is slow.',)
    """
    stating = {fact.sentence for fact in caption.facts if fact.kind in kinds}
    return tuple(one for index, one in enumerate(caption.sentences) if index not in stating)


def sampled_caption(
    captions: Sequence[Caption], rng: np.random.Generator, config: PromptConfig
) -> Caption | None:
    """A pseudo-label, a paraphrase, or a caption as it was composed; any of them where there is
    only one sort, none where there is none.

    Composed are the control caption, or the source's own words where there is none, and prompts
    from metadata.
    """
    labels = [caption for caption in captions if caption.kind in _LABELS]
    others = _paraphrased_or_composed(captions, rng, config)
    among = labels or others
    if labels and others and rng.random() >= config.labelled:
        among = others
    return among[int(rng.integers(len(among)))] if among else None


def _paraphrased_or_composed(
    captions: Sequence[Caption], rng: np.random.Generator, config: PromptConfig
) -> list[Caption]:
    kinds = {caption.kind for caption in captions}
    own_kind = CaptionKind.CONTROL if CaptionKind.CONTROL in kinds else CaptionKind.SOURCE
    paraphrases = [caption for caption in captions if caption.kind is CaptionKind.PARAPHRASE]
    composed = [caption for caption in captions if caption.kind in (own_kind, CaptionKind.METADATA)]
    first, second = (
        (paraphrases, composed) if rng.random() < config.paraphrased else (composed, paraphrases)
    )
    return first or second


def masked(
    sentences: Sequence[str],
    mean_sentences: float,
    rng: np.random.Generator,
    config: PromptConfig,
) -> tuple[str, ...]:
    """The sentences that stay, in order: all, or (the likelier the more there are) fewer.

    How many go is drawn from the whole numbers between the two shares: one of two or three, one or
    two of four. The only sentence stays.

    >>> rules = PromptConfig(masking=1)
    >>> masked(["A flute.", "It is slow.", "In A minor."], 3.0, np.random.default_rng(0), rules)
    ('A flute.', 'It is slow.')
    """
    count = len(sentences)
    least, most = (
        math.ceil(config.masked_min * count - 1e-9),
        math.floor(config.masked_max * count + 1e-9),
    )
    if most < max(1, least) or rng.random() >= min(1.0, config.masking * count / mean_sentences):
        return tuple(sentences)
    gone = set(rng.permutation(count)[: int(rng.integers(least, most + 1))].tolist())
    return tuple(sentence for index, sentence in enumerate(sentences) if index not in gone)


def dropped_conditions(rng: np.random.Generator, config: PromptConfig) -> frozenset[Condition]:
    """Conditions dropped on a visit: all at once, all but the text, or each by a draw of its own;
    and curves, which nobody has to give, all at once or each by a draw of its own.
    """
    everything, *each, controls, curves = rng.random(3 + len(Condition))
    if everything < config.drop_all:
        return frozenset(Condition)
    dropped = {
        condition
        for condition, chance in zip(Condition, each, strict=True)
        if chance < (config.drop_curve if condition in CURVES else config.drop_each)
    }
    if controls < config.drop_controls:
        dropped |= set(CONTROLS)
    if curves < config.drop_curves:
        dropped |= set(CURVES)
    return frozenset(dropped)


def known_spans(
    rng: np.random.Generator,
    duration_s: float,
    dropped: Collection[Condition],
    config: PromptConfig,
) -> Known:
    """When controls are known that are dropped (never), or known for a part of the time: within a
    span between two drawn times, or before and after it.
    """
    known: dict[Condition, tuple[Span, ...]] = {}
    for condition in CONTROLS:
        chance, inside, *ends = rng.random(4)
        first_s, last_s = sorted(float(end) * duration_s for end in ends)
        if condition in dropped:
            known[condition] = ()
        elif chance < config.spans and inside < 0.5:
            known[condition] = (Span(first_s, last_s),)
        elif chance < config.spans:
            known[condition] = (Span(0.0, first_s), Span(last_s, duration_s))
    return known


def mean_sentences(samples: Iterable[Sample]) -> float:
    """Sentences per caption over all samples (the paper's M); 1 where there is none."""
    counts = [len(caption.sentences) for sample in samples for caption in sample.captions]
    return sum(counts) / len(counts) if counts else 1.0
