"""A listing in slices: what is listed keeps its slice and place, and only slices that change are
written again.
"""

import uuid
from pathlib import Path

import pytest

from pipelines.stages.inputs.list_inputs import write_listing
from pipelines.storage.store import Store
from schemas.corpus import InputRow, Source
from schemas.recipe import Recipe

RECIPE = Recipe()
NUMBERS = range(130)  # in slices of 64, 64 and 2


class Listing:
    """A listing of numbered files in a folder that a test lists again and again."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, numbers: list[int], captions: dict[int, str] | None = None) -> dict[str, int]:
        said = captions or {}
        rows = (
            InputRow(
                row=f"{n:03d}.flac",
                source=Source(uri=f"/m/{n:03d}.flac"),
                captions=(said.get(n, "Music."),),
            )
            for n in numbers
        )
        return write_listing(self.store, rows, RECIPE, shrink=True)

    def seats(self) -> dict[str, tuple[str, int]]:
        """Slice and place of each row."""
        names = self.store.read_sealed("listing/plan.json")["slices"]
        return {
            row.row: (name, row.place)
            for name in names
            for row in self.store.read_records(f"listing/{name}.parquet", InputRow)
        }

    def files(self) -> dict[str, int]:
        """Each slice's files by inode: one that is published again is another file."""
        return {
            path.name: path.stat().st_ino
            for path in Path(self.store.path("listing")).glob("slice-*")
        }


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    return Listing(Store(str(tmp_path / uuid.uuid4().hex)))


def test_slices_hold_64_rows_and_places_count_through(listing: Listing) -> None:
    assert listing.write(list(NUMBERS)) == {"slice-00000": 64, "slice-00001": 64, "slice-00002": 2}
    assert listing.seats()["000.flac"] == ("slice-00000", 0)
    assert listing.seats()["128.flac"] == ("slice-00002", 128)


def test_the_order_of_the_sources_does_not_matter(listing: Listing) -> None:
    listing.write(list(reversed(NUMBERS)))
    assert [name for name, _ in sorted(listing.seats().items(), key=lambda seat: seat[1])] == [
        f"{n:03d}.flac" for n in NUMBERS
    ]


def test_rows_keep_their_seats_when_others_come_and_go(listing: Listing) -> None:
    listing.write([n for n in NUMBERS if n % 2])  # 65: slices of 64 and 1
    before = listing.seats()
    counts = listing.write([n for n in NUMBERS if n % 4])
    after = listing.seats()
    assert {name: seat for name, seat in after.items() if name in before} == before
    assert after["002.flac"] == ("slice-00002", 65)  # sorts between 1 and 3, but came later
    assert counts == {"slice-00000": 64, "slice-00001": 1, "slice-00002": 32}
    listing.write([n for n in NUMBERS if n % 4 == 1])
    assert listing.seats() == {
        name: seat for name, seat in before.items() if int(name[:3]) % 4 == 1
    }


def test_a_row_that_is_listed_twice_counts_as_it_was_listed_last(listing: Listing) -> None:
    listing.write([5, 5], {5: "Loud."})
    assert listing.seats() == {"005.flac": ("slice-00000", 0)}


def test_an_unchanged_listing_writes_no_slice(listing: Listing) -> None:
    listing.write(list(NUMBERS))
    before = listing.files()
    listing.write(list(NUMBERS))
    assert listing.files() == before
    assert len(before) == 6  # three slices and their markers


def test_an_edited_row_rewrites_its_slice_alone(listing: Listing) -> None:
    listing.write(list(NUMBERS))
    before = listing.files()
    listing.write(list(NUMBERS), {70: "A deep hum."})
    changed = {name for name, file in listing.files().items() if before[name] != file}
    assert changed == {"slice-00001.parquet", "slice-00001.done.json"}
    [row] = [
        row
        for row in listing.store.read_records("listing/slice-00001.parquet", InputRow)
        if row.row == "070.flac"
    ]
    assert row.captions == ("A deep hum.",)


def test_new_rows_leave_older_slices_alone(listing: Listing) -> None:
    listing.write(list(NUMBERS))
    before = listing.files()
    listing.write([*NUMBERS, 130])
    assert {name for name, file in listing.files().items() if before.get(name) != file} == {
        "slice-00003.parquet",
        "slice-00003.done.json",
    }


def test_a_damaged_slice_is_made_again_with_all_its_rows(listing: Listing) -> None:
    listing.write(list(NUMBERS))
    rows = set(listing.seats())
    Path(listing.store.path("listing/slice-00001.parquet")).write_bytes(b"short")
    counts = listing.write(list(NUMBERS))
    assert set(listing.seats()) == rows
    assert sum(counts.values()) == len(NUMBERS)
    assert counts["slice-00000"] == 64


def test_a_slice_whose_marker_a_killed_run_took_away_keeps_its_seats(listing: Listing) -> None:
    listing.write(list(NUMBERS))
    before = listing.seats()
    listing.store.delete("listing/slice-00000.done.json")
    listing.write(list(NUMBERS))
    assert listing.seats() == before
