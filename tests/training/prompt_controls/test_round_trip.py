"""What our own control sentences say of labels is what is asked for when they are read back."""

from itertools import cycle, groupby, islice

import numpy as np
import pytest

from pipelines.captioning.check import chord_labels, contradiction
from pipelines.captioning.sentences import ControlSentence, draw_sentences
from schemas.chord import Chord, ChordQuality
from schemas.fact import ChordsFact, FactKind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Mode
from schemas.recipe import CaptionRecipe
from tests.training.prompt_controls.corpora import WALTZES
from training.prompt_controls.controls import ResolvedControls
from training.prompt_controls.corpus import NEUTRAL
from training.prompt_controls.requested import Provenance
from training.prompt_controls.resolve import resolve_controls

HOW = {"confidence": 1.0, "tool": "truth", "version": "1", "licence": "CC0"}
ALL = CaptionRecipe(sentences=(0, 0, 0, 0, 1))
SOME = CaptionRecipe(sentences=(0, 0.4, 0.4, 0.2, 0))
CONTROLS = {
    FactKind.BPM: "tempo",
    FactKind.TEMPO_WORD: "tempo",
    FactKind.METER: "meter",
    FactKind.KEY: "key",
    FactKind.CHORDS: "chords",
    FactKind.TIMED_CHORDS: "chords",
}


def random_labels(draw: np.random.Generator) -> Labels:
    """Steady music of 10 s with chord changes on beats; progressions of up to 4 chords, once or
    more.
    """
    bpm, meter = float(draw.integers(60, 200)), int(draw.choice([2, 3, 4, 6]))
    beats_s = [round(index * 60 / bpm, 3) for index in range(int(10 * bpm / 60))]
    qualities = list(ChordQuality)
    once = [
        Chord(
            root=int(draw.integers(12)), quality=qualities[int(draw.integers(len(qualities)))]
        ).harte
        for _ in range(int(draw.integers(1, 5)))
    ]
    played = once * int(draw.integers(1, 3))
    starts = sorted(draw.choice(beats_s, len(played), replace=False).tolist())
    starts[0] = 0.0 if draw.random() < 0.5 else starts[0]
    segments = [
        ChordSegment(start_s=start_s, end_s=end_s, label=label)
        for label, start_s, end_s in zip(played, starts, [*starts[1:], 10.0], strict=True)
    ]
    return Labels(
        duration_s=10,
        beats=Beats(
            times_s=beats_s, numbers=[index % meter + 1 for index in range(len(beats_s))], **HOW
        ),
        meter=Meter(beats_per_bar=meter, **HOW),
        tempo=Tempo(bpm=bpm, **HOW),
        chords=Chords(segments=segments, **HOW),
        key=KeyLabel(tonic=int(draw.integers(12)), mode=list(Mode)[int(draw.integers(2))], **HOW),
    )


def agrees(sentence: ControlSentence, found: ResolvedControls, truth: Labels) -> None:
    """Each fact is true of what is asked for, and what was stated came from the caption."""
    for fact in sentence.facts:
        assert getattr(found.origins, CONTROLS[fact.kind]).source is Provenance.CAPTION, (
            sentence.text
        )
        if isinstance(fact, ChordsFact):  # goes on from the top where there is more time
            sounding = chord_labels(found.labels.chords)
            again = [label for label, _ in groupby(islice(cycle(fact.chords), 200))]
            assert list(sounding) == again[: len(sounding)], sentence.text
            assert len(sounding) >= len(fact.chords), sentence.text
        else:
            assert not contradiction(fact, found.labels), sentence.text
        if fact.kind is FactKind.BPM:
            assert found.labels.tempo.bpm == round(truth.tempo.bpm or 0)
        if fact.kind is FactKind.METER:
            assert found.labels.meter.beats_per_bar == truth.meter.beats_per_bar
        if fact.kind is FactKind.KEY:
            assert (found.labels.key.tonic, found.labels.key.mode) == (
                truth.key.tonic,
                truth.key.mode,
            )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("recipe", [ALL, SOME], ids=["all", "some"])
def test_control_sentences_ask_for_what_they_were_written_from(
    seed: int, recipe: CaptionRecipe
) -> None:
    draw = np.random.default_rng(seed)
    for _ in range(40):
        truth = random_labels(draw)
        sentences = draw_sentences(truth, recipe, draw)
        caption = " ".join(sentence.text for sentence in sentences)
        found = resolve_controls(
            caption,
            duration_s=10,
            statistics=WALTZES if draw.random() < 0.5 else NEUTRAL,
            seed=seed,
        )
        for sentence in sentences:
            agrees(sentence, found, truth)
        assert not [note for note in found.notes if "at odds" not in note], (
            caption
        )  # the key and the chords were drawn apart
        stated = {CONTROLS[fact.kind] for sentence in sentences for fact in sentence.facts}
        for control in {"tempo", "meter", "key", "chords"} - stated:
            assert getattr(found.origins, control).source is not Provenance.CAPTION, caption
