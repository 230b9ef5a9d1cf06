"""What the page is given: facts with their standing, chords to play, rows to find clips by."""

from typing import Any

from flows.screens.report.foreign import show_foreign
from flows.screens.report.records import ClipRow, ShownClip
from flows.screens.report.rows import SampleOfClip, clip_of_samples, row_of
from flows.screens.report.show import notes_of, show_caption, show_sample
from pipelines.captioning.marking import Standing
from pipelines.shards.chosen import ChosenSample
from schemas.agreement import LabelAgreement
from schemas.chord import Chord, ChordQuality
from schemas.corpus import Change
from schemas.sample import Sample
from tests.flows.screens.report.report_material import CAPTION, HOSTILE, hostile_samples
from tests.pipelines.shards.shard_samples import CLIP, KEY, our_sample


def chosen(sample: Sample | None, **fields: Any) -> ChosenSample:
    given: dict[str, Any] = {
        "clip": CLIP, "key": KEY, "shard": "train-00000.tar", "ours": sample, "facts": {},
        "texts": (), "audio": b"", "extension": "flac", "outline": None,
    }  # fmt: skip
    return ChosenSample(**(given | fields))


def shown_clip() -> tuple[ShownClip, ClipRow]:
    orig, higher = hostile_samples()
    again = LabelAgreement(beats=0.6, key=1.0)
    samples = [
        SampleOfClip(show_sample(chosen(higher), higher, "audio/000/001", None), higher),
        SampleOfClip(show_sample(chosen(orig), orig, "audio/000/000", again), orig),
    ]
    clip = clip_of_samples(CLIP, samples)
    return clip, row_of(clip, samples, 3, 7)


def test_words_are_green_red_or_grey_as_the_labels_say() -> None:
    orig, _ = hostile_samples()
    found = show_caption(CAPTION, orig.labels, Change())
    marked = {run.text: found.facts[run.fact] for run in found.runs if run.fact is not None}
    assert {text: fact.standing for text, fact in marked.items()} == {
        "C minor": Standing.DIFFERS,
        "120 BPM": Standing.AGREES,
        "3/4": Standing.AGREES,
        "flute": Standing.OPEN,
    }
    assert marked["C minor"].label == "A minor"
    assert "".join(run.text for run in found.runs).startswith("A </script><img src=x")


def test_what_cannot_be_seen_is_escaped_in_every_run() -> None:
    orig, _ = hostile_samples()
    found = show_caption(CAPTION, orig.labels, Change())
    texts = [run.text for run in found.runs] + [found.writer]
    assert all(text.isprintable() for text in texts)
    assert "\\u2028" in found.writer


def test_the_original_stands_before_its_variants_with_what_was_done_to_them() -> None:
    clip, _ = shown_clip()
    assert [sample.change for sample in clip.samples] == ["original", "pitch +2"]
    values = [{label.about: label.value for label in one.labels} for one in clip.samples]
    assert [one["key"] for one in values] == ["A minor", "B minor"]
    assert values[0] == {
        "key": "A minor",
        "tempo": "120 BPM",
        "meter": "3/4",
        "chords": "3 chords",
        "beats": "3 beats",
        "bars": "1 bar",
    }


def test_a_row_says_what_a_clip_is_found_and_ordered_by() -> None:
    _, row = shown_clip()
    assert (row.page, row.place, row.samples, row.split) == (3, 7, 2, "train")
    assert (row.unsure, row.weakest) == (0.0, "bars")
    assert row.differs == 2  # C minor, of the original and of the variant
    assert row.apart == 0.4  # beats
    assert row.about == "A minor · 120 BPM · 3/4"
    assert "flute" in row.tags
    assert "a minor" in row.text.lower()
    assert row.strip == "-" * 8 + "d" * 8 + "-" * 8 + "d" * 4 + "i" * 4


def test_every_quality_sounds_its_own_notes_over_its_bass() -> None:
    for quality in ChordQuality:
        for root in range(12):
            chord = Chord(root=root, quality=quality, bass=(root + 7) % 12)
            bass, *close = notes_of(chord)
            assert bass == 48 + (root + 7) % 12
            assert {note % 12 for note in (bass, *close)} == chord.pitches
            assert all(60 <= note < 72 for note in close)


def test_a_foreign_sample_shows_its_texts_and_what_they_state_undecided() -> None:
    facts = {"caption": "A waltz in C minor.", "bpm": 90, HOSTILE: [1]}
    found = show_foreign(chosen(None, facts=facts, texts=("At 90 BPM.",)), "audio/000/000")
    assert [caption.kind for caption in found.captions] == ["caption", "text"]
    standings = [fact.standing for caption in found.captions for fact in caption.facts]
    assert standings == [Standing.OPEN] * 3
    values = {figure.name: figure.value for figure in found.figures}
    assert values["bpm"] == "90"
    assert all(name.isprintable() for name in values)
    row = row_of(
        clip_of_samples("x", [SampleOfClip(found, None)]), [SampleOfClip(found, None)], 0, 0
    )
    assert (row.unsure, row.split, row.strip) == (None, None, "")
    assert row.about == "audio not decoded"


def test_pieces_of_one_file_are_told_apart_by_their_seconds() -> None:
    whole, part = our_sample(song_s=2.0), our_sample(song_s=60.0)
    abouts = [
        clip_of_samples(CLIP, [SampleOfClip(show_sample(chosen(one), one, "", None), one)]).about
        for one in (whole, part)
    ]
    assert abouts == ["", "0–2 s"]
