"""Counts over shards are exact, for our samples and for another's."""

from pathlib import Path

from pipelines.shards.find import find_shards
from pipelines.shards.stats import count_all, list_shards
from schemas.pseudo_label import PseudoLabel
from schemas.vocabulary import Form
from tests.pipelines.shards.shard_samples import foreign, our_sample, ours, write_build, write_shard


def test_a_row_per_shard_with_split_samples_seconds_bytes_and_problems(tmp_path: Path) -> None:
    mine = write_shard(tmp_path / "train-00000.tar", ours(our_sample(), our_sample("pu1")))
    other = write_shard(tmp_path / "x.tar", [*foreign("0", "1"), ("2.json", b"{}")])
    rows = [row.model_dump() for row in list_shards(find_shards(str(tmp_path)))]
    common = {"samples": 2, "url": str(mine)}
    assert rows[0] == {
        **common,
        "shard": "train-00000.tar",
        "split": "train",
        "duration_s": 4.0,
        "bytes": mine.stat().st_size,
        "problems": 0,
    }
    assert rows[1] == {
        **common,
        "shard": "x.tar",
        "url": str(other),
        "split": None,
        "duration_s": 2.0,
        "bytes": other.stat().st_size,
        "problems": 1,
    }


def test_our_samples_are_counted_by_their_labels(tmp_path: Path) -> None:
    counted = count_all(
        find_shards(str(write_build(tmp_path, our_sample(), our_sample("pu1"))))
    ).as_json()
    assert counted == {
        "shards": 1,
        "samples": 2,
        "ours": 2,
        "duration_s": 4.0,
        "unmeasured": 0,
        "problems": {},
        "splits": {"train": 2},
        "variants": {"original": 1, "pitch": 1},
        "keys": {"A minor": 2},
        "tempos": {"120": 2},
        "meters": {"3": 2},
        "chords_s": {"Abdim7": 0.5, "Am": 1.5, "N.C.": 2.0},
        "captions": {"control": 2, "paraphrase": 2, "source": 2},
        "caption_words": {"0": 4, "20": 2},
        "uncaptioned": 0,
        "licences": {"CC-BY-4.0": 2},
        "extensions": {"flac": 2, "json": 2},
        "labels": {"samples": 2, "labelled": 0, "forms": {}},
    }


def test_another_s_samples_are_counted_by_headers_and_captions(tmp_path: Path) -> None:
    members = [
        *foreign("0", "1", caption="word " * 12),
        ("2.flac", b"no sound"),
        ("2.json", b'{"license": "CC0"}'),
    ]
    counted = count_all(find_shards(str(write_shard(tmp_path / "a.tar", members))))
    assert (counted.samples, counted.ours, counted.duration_s, counted.unmeasured) == (3, 0, 2.0, 1)
    assert dict(counted.captions) == {"caption": 2}
    assert dict(counted.caption_words) == {10: 2}
    assert dict(counted.licences) == {"unknown": 2, "CC0": 1}
    assert dict(counted.problems) == {"undecodable": 1}


def test_pseudo_labels_are_counted_by_form_with_how_evenly_they_are_used(tmp_path: Path) -> None:
    labels = [
        PseudoLabel(
            text=text,
            form="short",
            vocabulary="v",
            source="s",
            licence="CC0-1.0",
            rank=1,
            similarity=0.5,
            frequency=1,
            model="m",
            model_licence="l",
        )
        for text in ("calm", "airy")
    ]
    one, other = (
        our_sample().replaced(pseudo_labels=labels),
        our_sample("pu1").replaced(pseudo_labels=labels[:1]),
    )
    found = count_all(find_shards(str(write_build(tmp_path, one, other)))).labels.stats()
    assert (found.samples, found.labelled) == (2, 2)
    short = found.forms[Form.SHORT]
    assert (short.labels, short.distinct, short.head[0].text, short.head[0].samples) == (
        3,
        2,
        "calm",
        2,
    )
