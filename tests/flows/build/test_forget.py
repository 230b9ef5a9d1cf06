"""A song that is forgotten is in no file of its build; all else is as it was, and stays so."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.build.local import forget, verify_build
from pipelines.beam.options import Engine
from pipelines.build.corrections import add_correction
from pipelines.build.tables import FORGOTTEN
from pipelines.errors import WrongArgument
from pipelines.reports.forget import Taken, let_in
from pipelines.reports.forget_files import Leaving, reworded, rows_of
from pipelines.reports.ledger import ledger_rows
from pipelines.stages.output.close import stated_dataset
from pipelines.storage.store import Store
from schemas.corpus import Outcome
from schemas.labels import Correction
from tests.support.small_build import Built, copied, rebuild


def members(out: Path) -> dict[str, bytes]:
    """Every member of every shard."""
    found: dict[str, bytes] = {}
    for shard in sorted((out / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                opened = tar.extractfile(member)
                assert opened is not None
                found[member.name] = opened.read()
    return found


def said(file: Path) -> Iterator[bytes]:
    """What a file says, read by others' readers."""
    if file.suffix == ".parquet":
        yield json.dumps(pq.read_table(file).to_pylist(), default=repr).encode()
    elif file.suffix == ".tar":
        with tarfile.open(file) as tar:
            for member in tar:
                opened = tar.extractfile(member)
                yield member.name.encode()
                yield opened.read() if opened else b""
    else:
        yield file.read_bytes()


def holding(out: Path, sought: list[bytes]) -> set[str]:
    files = (file for file in out.rglob("*") if file.is_file())
    return {
        str(file.relative_to(out))
        for file in files
        if any(one in part for part in said(file) for one in sought)
    }


def taken_out(out: Path, songs: list[str], reason: str = "") -> Taken:
    return forget(str(out), songs, "ann", reason, Engine(), lambda _: None)


def a_song(out: Path) -> tuple[str, str, dict[str, bytes]]:
    """A train song's id, the file it came from, and its members."""
    every = members(out)
    key = min(name for name in every if name.endswith("-pu2.json"))
    sample = json.loads(every[key])
    song_id = sample["song_id"]
    own = {name: content for name, content in every.items() if name.startswith(song_id)}
    return song_id, sample["source"]["uri"], own


def test_no_file_names_a_forgotten_song_but_the_ledger(built: Built, tmp_path: Path) -> None:
    out = copied(built, tmp_path / "out")
    before = members(out)
    song_id, uri, own = a_song(out)
    clip = min(own).rpartition("-")[0]
    add_correction(Store(str(out)), Correction(clip_key=clip, who="a", when="", not_music="noise"))
    rebuild(built, out, built.recipe)  # a version knows of the correction
    sought = [song_id.encode(), uri.rpartition("/")[2].encode()]
    sought += [content[200:264] for name, content in own.items() if name.endswith(".flac")]
    assert {name.partition("/")[0] for name in holding(out, sought)} >= {
        "clips", "annotations", "variants", "listing", "probed", "versions", "corrections",
    }  # fmt: skip
    taken = taken_out(out, [uri], "asked by the artist")
    assert (taken.songs, taken.left) == (1, ())
    assert holding(out, sought) == {"ledger/forgotten.json", "ledger/inputs.parquet"}
    entry = FORGOTTEN.read(Store(str(out))).songs[song_id]
    assert (entry.who, entry.reason) == ("ann", "asked by the artist")
    after = members(out)
    assert after == {name: before[name] for name in before if not name.startswith(song_id)}


@pytest.mark.slow  # two builds more than the one above
def test_the_rest_is_whole_stays_as_it_is_and_the_song_stays_out_until_it_is_let_in(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    store = Store(str(out))
    song_id, _, own = a_song(out)
    taken_out(out, [song_id])
    dataset = stated_dataset(store)
    assert dataset.inputs.counts == {"in": 4, "used": 3, "rejected": 1}
    assert dataset.samples.written == built.dataset.samples.written - len(own) // 2
    kept = members(out)
    shards = {file.name: file.read_bytes() for file in (out / "shards").iterdir()}
    audio = {file.name: file.read_bytes() for file in (out / "variants").iterdir()}
    verify_build(str(out), Engine(), lambda _: None)

    again = rebuild(built, out, built.recipe)
    assert again.inputs.counts == dataset.inputs.counts
    assert again.samples == dataset.samples
    assert {file.name: file.read_bytes() for file in (out / "shards").iterdir()} == shards
    assert {file.name: file.read_bytes() for file in (out / "variants").iterdir()} == audio
    [row] = ledger_rows(store, [Outcome.REJECTED])
    assert (row.code, row.stage) == ("forgotten", "probe")
    assert "--undo" in row.message

    let_in(store, [song_id])
    back = rebuild(built, out, built.recipe)
    assert back.inputs.counts == {"in": 4, "used": 4}
    assert {name for name in members(out) if name not in kept} == set(own)
    assert {name: members(out)[name] for name in kept} == kept


def test_what_is_not_there_and_the_last_song_are_refused(built: Built, tmp_path: Path) -> None:
    out = copied(built, tmp_path / "out")
    before = {str(file): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    with pytest.raises(WrongArgument, match="holds no song"):
        taken_out(out, ["0123456789abcdef"])
    with pytest.raises(WrongArgument, match="not among the forgotten"):
        let_in(Store(str(out)), ["0123456789abcdef"])
    ids = sorted({name.partition("-")[0] for name in members(out)})
    with pytest.raises(WrongArgument, match="holds no other song"):
        taken_out(out, ids)
    after = {str(file): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert {name for name in after if after[name] != before.get(name)} <= {
        name for name in after if "/runs/" in name
    }


def test_a_song_that_was_copied_is_not_named_in_others_reasons() -> None:
    song, other = "00112233445566aa", "ffeeddccbbaa9988"
    table = pa.table(
        {
            "clip_key": [f"{other}-0-8000", f"{song}-0-8000"],
            "figure": [f"0.93 of the fingerprint is {song}-0-8000's, in test", ""],
        }
    )
    assert rows_of(table, Leaving(song)).to_pylist() == [False, True]
    assert reworded(table, song).column("figure")[0].as_py() == (
        "0.93 of the fingerprint is a song that was forgotten's, in test"
    )
