"""The synthesiser's truth is true of its sound, and its pieces cover what annotators must tell
apart.
"""

import csv
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines.errors import PipelineError
from pipelines.synthesis.compose import compose
from pipelines.synthesis.harmony import scale_over
from pipelines.synthesis.plan import Start, plan
from pipelines.synthesis.render import render
from pipelines.synthesis.score import ChordSpan, Drum, Hit, Instrument, Role, Score, truth
from pipelines.synthesis.songs import write_songs
from pipelines.synthesis.voices import hertz, strings
from schemas.chord import INTERVALS, NO_CHORD, Chord
from schemas.labels import Labels, Origin
from schemas.pitch import Key, Mode

RATE_HZ = 44100
BLOCK = [compose(index) for index in range(12)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("songs"))


def waltz() -> Score:
    """Two bars of 3/4 at 120 BPM in F: one beat of pick-up, the first downbeat at 1 s, and half a
    second to ring.
    """
    f, c = Chord.parse("F:maj"), Chord.parse("C:7")
    return Score(
        name="waltz",
        bpm=120,
        beats_per_bar=3,
        key=Key.parse("F"),
        bars=2,
        pickup_beats=1,
        downbeat_s=1.0,
        duration_s=4.5,
        lead=Instrument.STRINGS,
        backing=Instrument.ORGAN,
        notes=(),
        hits=tuple(Hit(drum=Drum.HAT, beat=beat, gain=1) for beat in (-1, 0, 4)),
        spans=tuple(
            ChordSpan(beat=beat, length_beats=length, chord=chord)
            for beat, length, chord in ((0, 2, f), (2, 1, f), (3, 3, c))
        ),
    )


def onsets_s(wave: NDArray[np.float32]) -> list[float]:
    """Where the sound passes 0.1 after 50 ms below it."""
    loud = np.flatnonzero(np.abs(wave) > 0.1)
    return [
        float(loud[0]) / RATE_HZ,
        *(
            float(after) / RATE_HZ
            for before, after in pairwise(loud)
            if after - before > 0.05 * RATE_HZ
        ),
    ]


def energy_of_pitch_classes(wave: NDArray[np.float32], from_hz: float = 180) -> NDArray[np.float64]:
    """Energy by pitch class from C, up to 500 Hz, where fundamentals outweigh overtones; F#3, the
    lowest chord note, has 185 Hz.
    """
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) ** 2
    frequency_hz = np.fft.rfftfreq(wave.size, 1 / RATE_HZ)
    band = (frequency_hz > from_hz) & (frequency_hz < 500)
    classes = np.round(69 + 12 * np.log2(frequency_hz[band] / 440)).astype(int) % 12
    return np.asarray(np.bincount(classes, weights=spectrum[band], minlength=12), dtype=np.float64)


def test_truth_of_a_waltz_with_a_pick_up_is_what_its_score_says() -> None:
    labels = truth(waltz())
    assert labels.beats.times_s == (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
    assert labels.beats.numbers == (3, 1, 2, 3, 1, 2, 3)
    assert [(s.start_s, s.end_s, s.label) for s in labels.chords.segments] == [
        (0.0, 1.0, NO_CHORD), (1.0, 2.5, "F:maj"), (2.5, 4.0, "C:7"), (4.0, 4.5, NO_CHORD),
    ]  # fmt: skip
    assert (labels.meter.beats_per_bar, labels.tempo.bpm, labels.key.tonic, labels.key.mode) == (
        3,
        120,
        5,
        Mode.MAJOR,
    )
    claims = (labels.beats, labels.meter, labels.tempo, labels.chords, labels.key)
    assert {(c.origin, c.confidence, c.tool, c.licence) for c in claims} == {
        (Origin.STATED, 1.0, "synthesis", "CC0-1.0")
    }


def test_a_score_refuses_chords_with_a_gap_and_beats_before_zero() -> None:
    with pytest.raises(ValidationError, match="chords must join"):
        waltz().replaced(spans=waltz().spans[:1] + waltz().spans[2:])
    with pytest.raises(ValidationError, match="do not fit"):
        waltz().replaced(downbeat_s=0.4)


def test_hits_sound_at_their_written_time() -> None:
    assert onsets_s(render(waltz())) == pytest.approx([0.5, 1.0, 3.0], abs=0.001)


@pytest.mark.parametrize("score", BLOCK[:6], ids=lambda score: score.name)
def test_strong_drums_sound_on_every_beat_of_the_truth_and_nowhere_else(score: Score) -> None:
    strong = score.replaced(notes=(), hits=tuple(hit for hit in score.hits if hit.gain >= 0.7))
    estimated = onsets_s(render(strong))
    assert estimated == pytest.approx(truth(score).beats.times_s, abs=0.002)


@pytest.mark.parametrize("score", [BLOCK[1], BLOCK[4]], ids=lambda score: score.name)
def test_loudest_kick_sounds_on_every_downbeat(score: Score) -> None:
    kick = score.replaced(
        notes=(), hits=tuple(hit for hit in score.hits if hit.drum is Drum.KICK and hit.gain == 1.0)
    )
    assert onsets_s(render(kick)) == pytest.approx(truth(score).beats.downbeats_s, abs=0.002)


def alone(score: Score, role: Role) -> NDArray[np.float32]:
    return render(
        score.replaced(notes=tuple(note for note in score.notes if note.role is role), hits=())
    )


@pytest.mark.parametrize(
    "score", [BLOCK[0], BLOCK[3], BLOCK[5], BLOCK[7]], ids=lambda score: score.name
)
def test_energy_between_chord_marks_lies_on_the_notes_of_the_chord(score: Score) -> None:
    chords, bass = alone(score, Role.CHORDS), alone(score, Role.BASS)
    for segment in truth(score).chords.segments:
        if segment.chord is None:
            continue
        # the chord before it rings in the room until then
        start = round((segment.start_s + 0.15) * RATE_HZ)
        energy = energy_of_pitch_classes(chords[start : round(segment.end_s * RATE_HZ)])
        # the rest is overtones: A over D in G major
        assert energy[sorted(segment.chord.pitches)].sum() > 0.9 * energy.sum(), segment
        triad = [(segment.chord.root + step) % 12 for step in INTERVALS[segment.chord.quality][:3]]
        others = sorted(set(range(12)) - segment.chord.pitches)
        assert energy[triad].min() > energy[others].max(), segment
        low = energy_of_pitch_classes(bass[start : start + RATE_HZ // 2], from_hz=60)
        assert low.argmax() == (
            segment.chord.root if segment.chord.bass is None else segment.chord.bass
        ), segment


@pytest.mark.parametrize("pitch", [55, 69, 81])
def test_strings_are_in_tune_within_three_cents(pitch: int) -> None:
    wave = strings(pitch, 1.0, RATE_HZ)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size), 1 << 19))
    near = np.abs(np.fft.rfftfreq(1 << 19, 1 / RATE_HZ) / hertz(pitch) - 1) < 0.03
    estimated_hz = np.flatnonzero(near)[spectrum[near].argmax()] * RATE_HZ / (1 << 19)
    assert abs(1200 * np.log2(estimated_hz / hertz(pitch))) < 3


def test_twelve_pieces_cover_meters_modes_harmony_tonics_and_tempos() -> None:
    assert {(s.beats_per_bar, s.key.mode) for s in BLOCK} == {
        (meter, mode) for meter in (3, 4) for mode in Mode
    }
    assert {s.key.tonic for s in BLOCK} == set(range(12))
    bpms = sorted(s.bpm for s in BLOCK)
    assert bpms[0] < 70, bpms
    assert bpms[-1] > 160, bpms
    assert max(after - before for before, after in pairwise(bpms)) < 20, bpms
    sizes = [max(len(span.chord.pitches) for span in s.spans) for s in BLOCK]
    assert (sizes.count(3), sizes.count(4)) == (4, 8)
    assert {(s.lead, s.backing) for s in BLOCK} >= {
        (Instrument.STRINGS, Instrument.ORGAN),
        (Instrument.ORGAN, Instrument.STRINGS),
    }
    assert any(len({span.length_beats for span in s.spans}) > 1 for s in BLOCK), (
        "no chord changes in mid-bar"
    )
    starts = {
        Start.PICKUP if s.pickup_beats else Start.SILENCE if s.downbeat_s else Start.NOTHING
        for s in BLOCK
    }
    assert starts == set(Start)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_last_20_to_30_s_and_begin_and_end_on_the_tonic(seed: int) -> None:
    for score in [compose(index, seed) for index in range(12)]:
        assert 20 <= score.duration_s <= 30, score.name
        assert {score.spans[0].chord.root, score.spans[-1].chord.root} == {score.key.tonic}, (
            score.name
        )


@pytest.mark.parametrize("score", BLOCK, ids=lambda score: score.name)
def test_truth_covers_the_piece_without_gaps_or_repeated_chords(score: Score) -> None:
    segments = truth(score).chords.segments
    assert (segments[0].start_s, segments[-1].end_s) == (0.0, score.duration_s)
    assert all(
        earlier.end_s == later.start_s and earlier.label != later.label
        for earlier, later in pairwise(segments)
    )
    assert truth(score).beats.times_s[score.pickup_beats] == round(score.downbeat_s, 3)


@pytest.mark.parametrize("score", BLOCK, ids=lambda score: score.name)
def test_melody_keeps_to_the_scale_and_meets_the_chord_on_downbeats(score: Score) -> None:
    for note in (note for note in score.notes if note.role is Role.LEAD):
        chord = next(span.chord for span in reversed(score.spans) if span.beat <= note.beat)
        assert note.pitch % 12 in scale_over(score.key, chord)
        assert note.beat % score.beats_per_bar or note.pitch % 12 in chord.pitches


@pytest.mark.parametrize("index", range(12))
def test_a_letter_of_the_form_that_comes_back_is_the_same_music(index: int) -> None:
    form, phrase_beats = (
        plan(index, 0).form,
        plan(index, 0).phrase_bars * BLOCK[index].beats_per_bar,
    )
    assert form.count("A") >= 2
    estimated: dict[str, tuple[tuple[Role, float, int], ...]] = {}
    for place, letter in enumerate(form):
        start = place * phrase_beats
        music = tuple(
            (n.role, n.beat - start, n.pitch)
            for n in BLOCK[index].notes
            if start <= n.beat < start + phrase_beats
        )
        assert estimated.setdefault(letter, music) == music


def test_audio_is_mono_of_the_stated_length_with_peak_0_8_and_the_same_twice() -> None:
    score = BLOCK[2]
    wave = render(score)
    assert wave.dtype == np.float32
    assert wave.shape == (round(score.duration_s * RATE_HZ),)
    assert np.abs(wave).max() == pytest.approx(0.8, abs=1e-6)
    assert wave.tobytes() == render(compose(2)).tobytes()


def test_another_seed_is_other_music() -> None:
    assert compose(0, seed=1).notes != compose(0, seed=0).notes


def test_files_are_the_same_bytes_twice(corpus: Path, tmp_path: Path) -> None:
    write_songs(tmp_path, songs=2)
    for path in tmp_path.glob("piece-*"):
        assert path.read_bytes() == (corpus.parent / path.name).read_bytes(), path.name


def test_manifest_lists_every_song_with_its_file_its_truth_and_its_split(corpus: Path) -> None:
    rows = list(csv.DictReader(corpus.open(encoding="utf-8")))
    assert list(rows[0]) == ["uri", "licence", "title", "artist", "genre", "caption", "split"]
    assert [
        [row["split"] for row in rows].count(split) for split in ("train", "validation", "test")
    ] == [8, 2, 2]
    assert {row["licence"] for row in rows} == {"CC0-1.0"}
    assert len({row["title"] for row in rows}) == 12
    held: dict[str, list[Labels]] = {}
    for row in rows:
        info = sf.info(corpus.parent / row["uri"])
        labels = Labels.model_validate_json(
            (corpus.parent / row["uri"]).with_suffix(".truth.json").read_bytes()
        )
        assert (info.samplerate, info.channels, info.subtype) == (44100, 1, "PCM_16")
        assert info.frames / info.samplerate == labels.duration_s
        held.setdefault(row["split"], []).append(labels)
    for labels_of_split in held.values():
        assert {labels.meter.beats_per_bar for labels in labels_of_split} == {3, 4}
        assert {labels.key.mode for labels in labels_of_split} == set(Mode)


def test_captions_state_nothing_that_a_label_states(corpus: Path) -> None:
    claims = (
        r"\d|major|minor|chord|key|tempo|beat|bpm|bar|meter|waltz|fast|slow|quick"
        r"|quality|fidelity|crescendo|loud|soft"
    )
    for row in csv.DictReader(corpus.open(encoding="utf-8")):
        assert not re.search(rf"\b({claims})", row["caption"].lower()), row["caption"]


def test_no_songs_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="ask for one or more"):
        write_songs(tmp_path, songs=0)
