"""All captions of one sample: its sources moved, the control caption, paraphrases, each with its facts."""

import re
from collections import Counter
from typing import Final

from pydantic import Field

from pipelines.captioning.check import contradiction, disagree
from pipelines.captioning.moving import MovedText, moved_text
from pipelines.captioning.paraphrase import captioned, paraphraser_named, states_same
from pipelines.captioning.sentences import ATTRIBUTE_OF, ControlSentence, draw_sentences, dynamics_sentence
from pipelines.captioning.splitting import clean_text
from pipelines.draws import generator
from schemas.caption import Caption, CaptionKind, Fact
from schemas.corpus import Change
from schemas.labels import Labels
from schemas.pitch import Key
from schemas.recipe import CaptionRecipe
from schemas.record import Record

_ENDED: Final = re.compile(r"[.!?…][\"'”’)\]]*$")


class Captioned(Record):
    """Captions of one sample, and how often each rule acted ("moved_bpm", "control_left_out_key", …)."""

    captions: tuple[Caption, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)


def compose_captions(sources: tuple[str, ...], labels: Labels, change: Change, recipe: CaptionRecipe, seed: int, key: str) -> Captioned:
    """Captions of the sample `key`, which is its clip under `change`; `labels` are the sample's own, already moved.

    Every source caption is listed as it holds after the change. The control caption is one of them, drawn, followed by
    control sentences; without a source it is control sentences alone, and without those either there is no caption. A control sentence
    that the source's own words contradict is left out: on the original, the source stands as it is.
    Raises `PipelineError` for an unknown paraphraser.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> empty = dict(duration_s=10, beats=Beats(**how), meter=Meter(**how), chords=Chords(**how), key=KeyLabel(**how))
    >>> labels = Labels(tempo=Tempo(bpm=120, **how), **empty)
    >>> recipe = CaptionRecipe(sentences=(0, 1), bpm_share=1)
    >>> made = compose_captions(("A flute plays.",), labels, Change(), recipe, 0, "00112233445566aa-0-10000-orig")
    >>> [caption.kind.value for caption in made.captions], made.captions[1].facts[0].value
    (['source', 'control', 'paraphrase'], '120')
    """
    paraphraser = paraphraser_named(recipe.paraphraser)
    rng = generator(seed, key, "caption")
    counts: Counter[str] = Counter()
    moved = _moved_sources(sources, labels, change, counts)
    listed = [Caption(text=one.text, kind=CaptionKind.SOURCE, sentences=one.sentences, facts=one.facts) for one in moved]
    drawn = listed[int(rng.random() * len(listed))] if listed else None
    written = draw_sentences(labels, recipe, rng, at_least=0 if listed else 1)
    dynamics = dynamics_sentence(change, rng)
    if dynamics:
        written.insert(int(rng.random() * (len(written) + 1)), dynamics)
    texts = [sentence.text for sentence in written if not _left_out(sentence, drawn, counts)]
    if not texts:
        return Captioned(captions=tuple(listed), counts=dict(counts))
    control = captioned(" ".join(([_ended(drawn.text)] if drawn else []) + texts), CaptionKind.CONTROL)
    paraphrases: list[Caption] = []
    if recipe.paraphrases:
        for offered in paraphraser.paraphrase(control, recipe.paraphrases, generator(seed, key, "paraphrase")):
            if states_same(offered, control):
                paraphrases.append(captioned(clean_text(offered.text), CaptionKind.PARAPHRASE))
            else:
                counts["paraphrase_refused"] += 1
    return Captioned(captions=(*listed, control, *paraphrases), counts=dict(counts))


def _moved_sources(sources: tuple[str, ...], labels: Labels, change: Change, counts: Counter[str]) -> list[MovedText]:
    """Source captions as they hold after the change, each text once, those with nothing left not at all."""
    key = None if labels.key.tonic is None or labels.key.mode is None else Key(tonic=labels.key.tonic, mode=labels.key.mode)
    out: dict[str, MovedText] = {}
    for source in dict.fromkeys(clean_text(source) for source in sources):
        if not source:
            continue
        moved = moved_text(source, change, labels.duration_s, key)
        counts.update(moved.counts)
        counts.update(f"source_contradicts_{_family(fact)}" for fact in moved.facts if contradiction(fact, labels))
        if moved.text:
            out.setdefault(moved.text, moved)
        else:
            counts["source_dropped"] += 1
    return list(out.values())


def _left_out(sentence: ControlSentence, source: Caption | None, counts: Counter[str]) -> bool:
    """Whether the source's own words contradict a control sentence, which is then counted and left out."""
    said = source.facts if source else ()
    facts = [Fact(kind=kind, value=value, sentence=0) for kind, value in sentence.facts]
    if any(disagree(fact, claim) for fact in facts for claim in said):
        counts[f"control_left_out_{sentence.attribute}"] += 1
        return True
    return False


def _family(fact: Fact) -> str:
    """What a fact is about: both number and word are about the tempo."""
    return ATTRIBUTE_OF[fact.kind].value if fact.kind in ATTRIBUTE_OF else fact.kind.value


def _ended(text: str) -> str:
    """A text that ends as a sentence does, so that another can follow."""
    return text if _ENDED.search(text) else f"{text.rstrip(',;:–—- ')}."
