"""Table D: a corpus never becomes smaller in silence."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from flows.build.local import build
from pipelines.beam.options import Engine
from pipelines.build.plans import Shrinks
from pipelines.stages.inputs.list_inputs import write_listing
from pipelines.storage.store import Store
from schemas.corpus import InputRow, Source
from schemas.dataset import Dataset
from tests.support.building import digests
from tests.support.running import obbligato
from tests.support.tone_corpus import PLAIN

SONGS = 6


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of six tones."""
    seconds = np.arange(9 * 44_100) / 44_100
    with (tmp_path / "songs.csv").open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["uri", "caption"])
        for number in range(SONGS):
            soundfile.write(
                tmp_path / f"{number}.flac",
                0.3 * np.sin(2 * np.pi * (200 + 10 * number) * seconds),
                44_100,
            )
            rows.writerow([f"{number}.flac", f"Tone {number}."])
    return tmp_path / "songs.csv"


def built(table: Path, out: Path, **options: Any) -> Dataset:
    return build([str(table)], str(out), PLAIN, Engine(), lambda _: None, **options)


def without(table: Path, *numbers: int) -> None:
    lines = table.read_text().splitlines()
    table.write_text(
        "\n".join(line for line in lines if line.partition(".")[0] not in map(str, numbers)) + "\n"
    )


@pytest.mark.slow
def test_d_a_bad_byte_in_a_table_that_stands_costs_its_row_and_no_song_beside_it(
    table: Path, tmp_path: Path
) -> None:
    assert built(table, tmp_path / "out").inputs.counts == {"in": SONGS, "used": SONGS}
    table.write_bytes(table.read_bytes().replace(b"Tone 1", b"Tone \xe9"))
    assert built(table, tmp_path / "out").inputs.counts == {
        "dead": 1,
        "in": SONGS,
        "used": SONGS - 1,
    }


def test_d_a_table_that_lost_many_rows_stops_the_build_before_anything_is_written(
    table: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", table.read_bytes()
    built(table, out)
    before = digests(out)
    without(table, 1, 2)
    output = obbligato("build", table, "--out", out, "--recipe", out / "recipe.toml")
    assert output.returncode == 1
    assert (
        "this run would remove 2 of the 6 sources in force (33%): they are no longer listed"
        in output.stderr
    )
    assert digests(out) == before
    table.write_bytes(whole)
    built(table, out)
    assert digests(out) == before


def test_d_sound_that_can_no_longer_be_read_stops_it_before_what_is_in_force_changes(
    table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    built(table, out)
    kept = {
        name: mark
        for name, mark in digests(out).items()
        if name.startswith(("shards/", "clips/", "ledger/", "versions/"))
    }
    for number in (1, 2, 3):
        (table.parent / f"{number}.flac").write_bytes(b"no longer music")
    with pytest.raises(
        Shrinks,
        match=(
            r"remove 3 of the 6 songs in force \(50%\): "
            r"3 inputs are dead, most of them undecodable"
        ),
    ):
        built(table, out)
    assert {name: mark for name, mark in digests(out).items() if name in kept} == kept
    assert built(table, out, shrink=True).inputs.counts == {"dead": 3, "in": SONGS, "used": 3}


@pytest.mark.slow
def test_d_one_song_may_go_and_a_folder_may_be_moved(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(table, out)
    without(table, 5)
    assert built(table, out).inputs.counts == {"in": 5, "used": 5}
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (table, *tmp_path.glob("?.flac")):
        file.rename(moved / file.name)
    assert built(moved / "songs.csv", out).inputs.counts == {"in": 5, "used": 5}


@pytest.mark.slow
def test_d_what_is_meant_is_done(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(table, out)
    without(table, 1, 2)
    assert built(table, out, shrink=True).inputs.counts == {"in": 4, "used": 4}


def test_d_a_column_of_captions_that_has_another_name_stops_it(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(table, out)
    before = digests(out)
    table.write_text(table.read_text().replace("uri,caption", "uri,words"))
    with pytest.raises(
        Shrinks,
        match=(
            r"remove 6 of the 6 captions in force \(100%\): .* "
            r"perhaps their column has another name"
        ),
    ):
        built(table, out)
    assert {
        name: mark
        for name, mark in digests(out).items()
        if name.startswith(("listing/", "shards/"))
    } == {name: mark for name, mark in before.items() if name.startswith(("listing/", "shards/"))}
    table.write_text(table.read_text().replace("Tone 1.", ""))
    assert built(table, out, shrink=True).inputs.counts == {"in": SONGS, "used": SONGS}


@pytest.mark.slow
def test_d_rows_that_stood_twice_may_be_cleaned_up(table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, *lines[1:]]) + "\n")
    assert built(table, tmp_path / "out").inputs.counts == {
        "duplicate": SONGS,
        "in": 2 * SONGS,
        "used": SONGS,
    }
    table.write_text("\n".join(lines) + "\n")
    assert built(table, tmp_path / "out").inputs.counts == {"in": SONGS, "used": SONGS}


def test_d_a_listing_that_is_refused_leaves_the_whole_addresses_of_the_one_that_stands(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path))

    def listed(count: int) -> None:
        uris = (f"https://host/{number}.wav?signature={number}" for number in range(count))
        write_listing(store, (InputRow(row=uri, source=Source(uri=uri)) for uri in uris), PLAIN)

    listed(4)
    kept = {file.name: file.read_bytes() for file in (tmp_path / "private").iterdir()}
    assert b"".join(kept.values()).count(b"?signature=") == 4
    with pytest.raises(Shrinks, match="remove 3 of the 4 sources in force"):
        listed(1)
    assert {file.name: file.read_bytes() for file in (tmp_path / "private").iterdir()} == kept
