"""A folder that Megatron-Energon takes as a dataset: links to shards as they are, and the indexes
that its own `energon prepare` would make of them.

Its form is that of megatron-energon 7: beside each tar ``.tar.idx``, where each sample begins and
the last one ends, as 64-bit numbers; in ``.nv-meta`` how many samples each shard has, which split
it is of, what each member is, and where (`index.sqlite`).
"""

import json
import sqlite3
import struct
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from pipelines.errors import DeadInput, PipelineError, WrongArgument
from pipelines.shards.find import FoundShards, Shard, ShardProblem, open_file
from pipelines.shards.read import read_shard
from pipelines.shards.trainers.folder import ExportFolder, export_folder
from pipelines.storage.store import digest
from pipelines.storage.tar import read_members, sample_offsets
from schemas.identity import Split

_FOLDER: Final = ".nv-meta"
_PARTS: Final = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}
_SCHEMA: Final = """
create table samples (tar_file_id integer not null, sample_key text not null unique,
                      sample_index integer not null, byte_offset integer, byte_size integer);
create table sample_parts (tar_file_id integer, sample_index integer, part_name text,
                           content_byte_offset integer, content_byte_size integer);
"""
_INDEXES: Final = """
create index idx_samples_by_tar_and_idx on samples(tar_file_id, sample_index);
create index idx_sample_parts_seq
    on sample_parts(tar_file_id, sample_index, content_byte_offset);
create index idx_sample_parts_full on sample_parts(
    tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""
# any sample: its reader says how it is cooked
_DATASET: Final = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"


class EnergonShard(NamedTuple):
    """A shard as it was indexed: its name in the folder, its split, and its samples."""

    name: str
    split: Split
    samples: int


class _EnergonMember(NamedTuple):
    """A member of a shard: of which sample, its name after the key, and where its bytes stand."""

    key: str
    name: str
    offset: int
    size: int


def export_energon(
    found: FoundShards, to: str, *, split: Split | None = None, force: bool = False
) -> Iterator[EnergonShard | ShardProblem]:
    """Write the folder of shards on this machine (of one split by their names, if given); gives
    each shard, and problems: a shard that has any is left out.

    Shards whose names state no split are taken for train. Raises `PipelineError` as
    `export_folder`, where there is not one shard, and where two samples share a key: Energon takes
    none twice.
    """
    yield from found.problems
    chosen = [shard for shard in found.shards if split in (None, shard.split or Split.TRAIN)]
    with export_folder(to, force=force) as folder, tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / "index.sqlite"
        listed: list[EnergonShard] = []
        connection = sqlite3.connect(index)
        try:
            connection.executescript(_SCHEMA)
            for shard in chosen:
                problems = _problems(shard, {one.name for one in listed})
                yield from problems
                if not problems:
                    listed.append(_indexed(shard, len(listed), folder, connection))
                    yield listed[-1]
            connection.executescript(_INDEXES)
            connection.commit()
        finally:
            connection.close()
        if not listed:
            raise PipelineError(
                f"nothing to index: no whole shard{f' of split {split}' if split else ''}"
            )
        _describe(folder, listed, index.read_bytes())


def _problems(shard: Shard, names: set[str]) -> list[ShardProblem]:
    """What keeps a shard from being read by Energon where it stands."""

    def problem(code: str, message: str) -> list[ShardProblem]:
        return [ShardProblem(shard=shard.name, key="", code=code, message=message)]

    if "://" in shard.url:
        raise WrongArgument(
            f"{shard.url} is a URL: Energon's folder links to files of this machine"
        )
    if not shard.path.endswith(".tar"):
        return problem("compressed", "is compressed: Energon reads plain tars by place")
    if _name(shard) in names:
        return problem("name_twice", "has the name of another shard of the target")
    return [entry for entry in read_shard(shard) if isinstance(entry, ShardProblem)]


def _name(shard: Shard) -> str:
    return PurePosixPath(shard.path).name


def _indexed(
    shard: Shard, number: int, folder: ExportFolder, connection: sqlite3.Connection
) -> EnergonShard:
    with open_file(shard) as file:
        offsets = sample_offsets(file)
        file.seek(0)
        parts = [_part(member.name, member.offset, member.size) for member in read_members(file)]
    keys = list(dict.fromkeys(part.key for part in parts))
    place = {key: index for index, key in enumerate(keys)}
    try:
        connection.executemany(
            "insert into samples values (?, ?, ?, ?, ?)",
            (
                (number, key, index, offsets[index], offsets[index + 1] - offsets[index])
                for key, index in place.items()
            ),
        )
    except sqlite3.IntegrityError as error:
        raise PipelineError(
            f"{shard.name} holds a key that another shard holds: Energon takes none twice"
        ) from error
    connection.executemany(
        "insert into sample_parts values (?, ?, ?, ?, ?)",
        ((number, place[part.key], part.name, part.offset, part.size) for part in parts),
    )
    name = _name(shard)
    folder.link(name, Path(shard.path).absolute())
    folder.write(f"{name}.idx", struct.pack(f"<{len(offsets)}Q", *offsets))
    return EnergonShard(name, shard.split or Split.TRAIN, len(keys))


def _part(member: str, offset: int, size: int) -> _EnergonMember:
    """A member by its sample: the key ends at the first dot of the last part of its path."""
    path, slash, last = member.rpartition("/")
    stem, dot, name = last.partition(".")
    if not (stem and dot):
        raise DeadInput("no_key", f"{member} has no key and extension")
    return _EnergonMember(f"{path}{slash}{stem}", name, offset, size)


def _describe(folder: ExportFolder, listed: list[EnergonShard], index: bytes) -> None:
    """What Energon asks of a dataset as a whole; the same shards give the same bytes."""
    counts = {shard.name: shard.samples for shard in listed}
    parts = {
        name: [shard.name for shard in listed if shard.split is split]
        for split, name in _PARTS.items()
    }
    mark = uuid.UUID(hex=digest(counts)[:32])
    files = {
        ".info.json": json.dumps({"energon_version": "7.4.1", "shard_counts": counts}, indent=2),
        "split.yaml": json.dumps({"split_parts": parts, "exclude": []}, indent=2),  # JSON is YAML
        "dataset.yaml": _DATASET,
        "index.uuid": str(mark),
    }
    for name, content in files.items():
        folder.write(f"{_FOLDER}/{name}", content.encode())
    folder.write(f"{_FOLDER}/index.sqlite", index)
    folder.close({"dataset": "energon", "samples": sum(counts.values())})
