"""Samples of others' shards as the listening page shows them: no label of ours decides."""

import json
from collections.abc import Iterator
from typing import Any, Final

from flows.screens.plain import plain
from flows.screens.report.records import ShownCaption, ShownFigure, ShownSample
from flows.screens.report.show import outlined, show_caption
from pipelines.captioning.facts import facts_of, split_sentences
from pipelines.shards.chosen import ChosenSample
from pipelines.shards.stats import CAPTION_FIELDS
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.labels import Beats, Chords, KeyLabel, Labels, Meter, Tempo

_LONGEST_CAPTION: Final = 4000  # characters
_LONGEST_VALUE: Final = 300
_MOST_FIELDS: Final = 60
_NOTHING: Final[dict[str, Any]] = {"confidence": 0, "tool": "", "version": "", "licence": ""}
_NO_LABELS: Final = Labels(
    duration_s=86_400,  # so that no time in a caption is past the end
    beats=Beats(**_NOTHING),
    meter=Meter(**_NOTHING),
    tempo=Tempo(**_NOTHING),
    chords=Chords(**_NOTHING),
    key=KeyLabel(**_NOTHING),
)


def show_foreign(chosen: ChosenSample, audio: str) -> ShownSample:
    """A foreign sample: its sound, texts with what they state, and the fields of its JSON."""
    return ShownSample(
        key=plain(chosen.key),
        change="",
        duration_s=chosen.outline.duration_s if chosen.outline else 0,
        audio=audio,
        format=chosen.extension,
        **outlined(chosen.outline),
        captions=tuple(_captions(chosen)),
        figures=tuple(_figures(chosen)),
    )


def _captions(chosen: ChosenSample) -> Iterator[ShownCaption]:
    found = [(name, chosen.facts[name]) for name in CAPTION_FIELDS if name in chosen.facts]
    found += [("text", text) for text in chosen.texts]
    for name, text in found:
        if isinstance(text, str) and text.strip():
            yield _caption(name, text.strip()[:_LONGEST_CAPTION])


def _caption(name: str, text: str) -> ShownCaption:
    sentences = split_sentences(text)
    read = Caption(
        text=text, kind=CaptionKind.SOURCE, sentences=sentences, facts=facts_of(sentences)
    )
    return show_caption(read, _NO_LABELS, Change()).replaced(kind=name)


def _figures(chosen: ChosenSample) -> Iterator[ShownFigure]:
    fields = [name for name in chosen.facts if name not in CAPTION_FIELDS]
    for name in fields[:_MOST_FIELDS]:
        value = chosen.facts[name]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        cut = "…" if len(text) > _LONGEST_VALUE else ""
        yield ShownFigure(name=plain(name[:80]), value=plain(text[:_LONGEST_VALUE]) + cut)
    yield ShownFigure(name="shard", value=plain(chosen.shard))
