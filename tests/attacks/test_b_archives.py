"""Archives that lie: what one of them can cost is itself, wherever tars are read."""

import io
import json
import tarfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pipelines.errors import DeadInput
from pipelines.inputs.listing import list_inputs
from pipelines.reports.plan import plan_build
from pipelines.shards.audio import Depth, listened
from pipelines.shards.find import ShardProblem, find_shards
from pipelines.shards.read import Entry, read_shard
from pipelines.stages.inputs.list_inputs import write_listing
from pipelines.storage.store import Store
from pipelines.storage.tar import read_members
from schemas.corpus import InputRow
from schemas.identity import Split
from schemas.recipe import IngestRecipe, Recipe
from tests.attacks.limits import listed
from tests.support.lying_tars import SAMPLE, claiming, looping, padded, tar_of
from training.data.examples import members_of
from training.data.index import index_corpus
from training.errors import TrainingError


def codes(path: Path) -> dict[str, str]:
    return {
        row.row.rpartition("/")[2]: row.code for row in list_inputs([str(path)], IngestRecipe())
    }


def test_b7_a_member_that_leads_back_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "loop.tar").write_bytes(looping())
    (tmp_path / "good.tar").write_bytes(tar_of(*SAMPLE))
    found = listed(tmp_path)
    assert found.codes == {"good.tar#a": "", "loop.tar#a": "", "loop.tar#": "damaged_shard"}
    assert [message for name, _, message in found.rows if name == "loop.tar#"] == [
        "is damaged: 'z.flac' has a negative size"
    ]


def test_b7_a_plan_and_a_training_end_at_it_too(tmp_path: Path) -> None:
    (tmp_path / "loop.tar").write_bytes(looping())
    assert len(listed(tmp_path / "loop.tar").rows) == 2  # else what follows would never end
    plan = plan_build(list_inputs([str(tmp_path)], IngestRecipe()), Recipe())
    assert (plan.inputs, plan.ignored) == (2, 1)
    with pytest.raises(TrainingError, match=r"loop\.tar is damaged: 'z\.flac' has a negative size"):
        index_corpus(str(tmp_path), Split.TRAIN)
    with pytest.raises(DeadInput, match="negative size"):
        members_of(looping())


def test_b5_a_header_that_claims_gigabytes_is_not_believed(tmp_path: Path) -> None:
    found = listed(claiming(tmp_path / "pax.tar"))
    assert found.codes == {"pax.tar": "damaged_shard"}
    assert found.memory_mb < 300
    assert [
        found.code
        for found in read_shard(find_shards(str(tmp_path / "pax.tar")).shards[0])
        if isinstance(found, ShardProblem)
    ] == [
        "damaged_shard",
    ]


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_b5_whatever_kind_of_header_it_is_and_wherever_it_stands(kind: bytes) -> None:
    info = tarfile.TarInfo("p")
    info.size, info.type = 6 << 30, kind
    opened = io.BytesIO(tar_of(*SAMPLE)[:-1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    members = read_members(opened)
    assert [next(members).name, next(members).name] == ["a.flac", "a.json"]
    with pytest.raises(DeadInput, match="a header of 6442450944 bytes"):
        next(members)


def test_b5_many_small_headers_before_one_member_add_up() -> None:
    """Each of them is modest, and Python's reader calls itself for each."""
    info = tarfile.TarInfo("p")
    info.size, info.type = 512, tarfile.XHDTYPE
    with pytest.raises(DeadInput) as dead:
        list(
            read_members(
                io.BytesIO(
                    (info.tobuf(tarfile.GNU_FORMAT) + padded(b"9 a=bcd\n")) * 5000 + bytes(1024)
                )
            )
        )
    assert dead.value.code == "damaged_shard"


def test_b12_a_shard_is_read_a_sample_at_a_time(tmp_path: Path) -> None:
    """Each JSON of 1.8 MB takes twenty times that as objects."""
    members = []
    for number in range(8):
        members += [
            (f"{number}.flac", b"x"),
            (f"{number}.json", b'{"a": [' + b"[]," * 600_000 + b"[]]}"),
        ]
    (tmp_path / "s.tar").write_bytes(
        tar_of(*members, ("z.flac", b"x"), ("z.json", b'{"a":"' + b"y" * (9 << 20) + b'"}'))
    )
    found = listed(tmp_path / "s.tar")
    assert found.codes == {
        **{f"s.tar#{number}": "" for number in range(8)},
        "s.tar#z": "bad_sample",
    }
    assert found.memory_mb < 200


BAD_JSON = [
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": 1, "a": 2}',
    b'{"a": ' + b"9" * 3000 + b"}",
    b'{"a": "\\ud800"}',
    b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}",
    b"[" * 100_000,
    '{"a": 1}'.encode("utf-16"),
    b"[1]",
    b'{"a": 1} x',
    b'{"a": "\xe9"}',
]


@pytest.mark.parametrize("content", BAD_JSON, ids=lambda content: content[:12].decode("latin-1"))
def test_b13_a_build_and_the_shard_tools_refuse_the_same_json(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "s.tar").write_bytes(
        tar_of(
            ("a.flac", b"x"),
            ("a.json", content),
            ("b.flac", b"x"),
            ("b.json", json.dumps({}).encode()),
        )
    )
    assert codes(tmp_path / "s.tar") == {"s.tar#a": "bad_sample", "s.tar#b": ""}
    problems = [
        found
        for found in read_shard(find_shards(str(tmp_path / "s.tar")).shards[0])
        if isinstance(found, ShardProblem)
    ]
    assert [(found.key, found.code) for found in problems] == [("a", "bad_json")]


def test_b13_a_sample_whose_json_stands_elsewhere_is_not_used_without_it(tmp_path: Path) -> None:
    """Its licence stands there. Of rows that are listed twice, the last counts."""
    audio = [(f"{key}.flac", key.encode() * 9) for key in "ab"]
    (tmp_path / "s.tar").write_bytes(tar_of(*audio, ("a.json", b"{}"), ("c.flac", b"x")))
    store = Store(f"memory://interleaved-{uuid.uuid4().hex}")
    [name] = write_listing(store, list_inputs([str(tmp_path / "s.tar")], IngestRecipe()), Recipe())
    rows = store.read_records(f"listing/{name}.parquet", InputRow)
    assert {row.row.rpartition("/")[2]: row.code for row in rows} == {
        "s.tar#a": "repeated_key",
        "s.tar#a (again at byte 2560)": "repeated_key",
        "s.tar#b": "",
        "s.tar#c": "",
    }


def test_b13_a_key_that_comes_again_is_dead_alone(tmp_path: Path) -> None:
    """Stock readers take a sample's members where they stand side by side, and nothing else."""
    again = ("a.flac", b"other")
    (tmp_path / "s.tar").write_bytes(tar_of(*SAMPLE, ("b.flac", b"x"), again))
    assert codes(tmp_path / "s.tar") == {
        "s.tar#a": "",
        "s.tar#b": "",
        "s.tar#a (again at byte 4096)": "repeated_key",
    }


def test_b12_samples_whose_json_takes_much_memory_are_not_held_together(tmp_path: Path) -> None:
    """Those whose sound is measured wait for one another, sixteen at most; these are too large for
    that.
    """
    facts = b'{"a": [' + b"[]," * 600_000 + b"[]]}"
    (tmp_path / "s.tar").write_bytes(
        tar_of(
            *(
                (f"{number}{end}", part)
                for number in range(4)
                for end, part in ((".flac", b"x"), (".json", facts))
            )
        )
    )
    taken: list[str] = []

    def entries() -> Iterator[Entry]:
        for entry in read_shard(find_shards(str(tmp_path / "s.tar")).shards[0]):
            taken.append(entry.key)
            yield entry

    labels = listened(entries(), lambda _: True, Depth.HEADER)
    assert next(labels).entry.key == "0"
    assert taken == ["0"]
    assert isinstance(labels, Generator)
    labels.close()
