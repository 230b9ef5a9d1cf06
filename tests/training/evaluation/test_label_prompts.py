"""Prompts written from labels state one control, as the labels have it, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from schemas.pitch import Key, Mode
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import our_sample, ours, write_shard
from training.errors import TrainingError
from training.evaluation.targets import all_label_prompts, label_prompts, with_swaps
from training.metrics.controls import Control, PromptControls


def sample(number: int, start_ms: int = 0, **fields: Any) -> Sample:
    song_id = f"{number:016x}"
    clip = f"{song_id}-{start_ms}-2000"
    own = our_sample()
    sure: dict[str, Any] = {
        "tempo": own.tempo.replaced(bpm=118.4, confidence=1),
        "meter": own.meter.replaced(beats_per_bar=3, confidence=1),
        "chords": own.chords.replaced(confidence=1),
        "key_label": own.key_label.replaced(tonic=9, mode=Mode.MINOR, confidence=1),
    }
    return our_sample(
        key=f"{clip}-orig", clip_key=clip, song_id=song_id, split="test", **(sure | fields)
    )


@pytest.fixture
def target(tmp_path: Path) -> str:
    """Three songs; the first has two clips, the third no sure key."""
    unsure = our_sample().key_label.replaced(confidence=0.1)
    rows = (sample(1), sample(1, 2000), sample(2), sample(3, key_label=unsure))
    write_shard(tmp_path / "test-00000.tar", ours(*rows))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("control", "asked"),
    [
        (Control.TEMPO, PromptControls(bpm=118)),
        (Control.KEY, PromptControls(key=Key.parse("A minor"))),
        (Control.CHORDS, PromptControls(chords=("A:min", "Ab:dim7"))),
        (Control.METER, PromptControls(meter=3)),
    ],
)
def test_a_prompt_states_just_its_control(
    target: str, control: Control, asked: PromptControls
) -> None:
    prompts = label_prompts(target, control, 10)
    songs = [one.reference.split("-")[0].lstrip("0") for one in prompts]
    assert songs == (["1", "2"] if control is Control.KEY else ["1", "2", "3"])
    for one in prompts:
        assert one.requested == asked
        # the source's own words about its instruments come first
        assert one.caption.startswith("A flute plays. ")
        assert one.name == f"{one.reference}-asked-{control}"


def test_swaps_of_a_label_prompt_are_of_its_control_alone(target: str) -> None:
    prompts = with_swaps(label_prompts(target, Control.CHORDS, 1), graded=True)
    assert [one.name.rpartition("-asked-chords")[2] for one in prompts] == [
        "",
        "-chords-reversed",
        "-chords-transposed",
        "-one-chord-replaced",
    ]


def test_all_controls_have_their_set_and_labels_that_are_not_sure_none(
    target: str, tmp_path: Path
) -> None:
    assert len(all_label_prompts(target, 2)) == 8
    unsure = our_sample().tempo.replaced(bpm=100, confidence=0.2)
    other = tmp_path / "other"
    other.mkdir()
    write_shard(other / "test-00000.tar", ours(sample(4, tempo=unsure)))
    with pytest.raises(TrainingError, match=r"no held-out song of .* has a label of tempo"):
        label_prompts(str(other), Control.TEMPO, 5)
