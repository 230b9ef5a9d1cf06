"""Tars have fixed bytes, read as `tarfile` reads them, and damage is named."""

import io
import tarfile
from pathlib import Path

import pytest

from pipelines.errors import DeadInput
from pipelines.storage.tar import Member, TarWriter, read_members

FILES = {"a.json": b"{}", "a.flac": bytes(range(256)) * 5, "b.json": b"", "ünï.txt": b"x" * 512}


def tar_of(files: dict[str, bytes]) -> tuple[bytes, dict[str, int]]:
    out = io.BytesIO()
    tar = TarWriter(out)
    offsets = {name: tar.add(name, content) for name, content in files.items()}
    tar.close()
    return out.getvalue(), offsets


def members(content: bytes) -> list[Member]:
    return list(read_members(io.BytesIO(content)))


def read_until_damage(content: bytes) -> tuple[list[str], DeadInput | None]:
    """Names of the members before the damage, and the damage."""
    names: list[str] = []
    try:
        for member in read_members(io.BytesIO(content)):
            names.append(member.name)
    except DeadInput as error:
        return names, error
    return names, None


def test_tarfile_reads_the_same_names_and_bytes() -> None:
    content, _ = tar_of(FILES)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        read = {}
        for info in tar:
            opened = tar.extractfile(info)
            assert opened is not None
            read[info.name] = opened.read()
    assert read == FILES
    assert list(read) == list(FILES)


def test_headers_hold_no_time_and_no_owner() -> None:
    content, _ = tar_of(FILES)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        facts = {
            (info.mtime, info.mode, info.uid, info.gid, info.uname, info.gname, info.type)
            for info in tar
        }
    assert facts == {(0, 0o644, 0, 0, "", "", tarfile.REGTYPE)}
    assert content[257:263] == b"ustar\0"


def test_the_same_files_give_the_same_bytes_and_whole_blocks() -> None:
    assert tar_of(FILES)[0] == tar_of(FILES)[0]
    assert len(tar_of(FILES)[0]) % 512 == 0
    assert tar_of(FILES)[0][-1024:] == bytes(1024)


def test_offsets_stand_where_contents_are() -> None:
    content, offsets = tar_of(FILES)
    assert all(
        content[offsets[name] : offsets[name] + len(expected)] == expected
        for name, expected in FILES.items()
    )
    assert {
        member.name: (member.offset, member.size, member.is_file) for member in members(content)
    } == {name: (offsets[name], len(expected), True) for name, expected in FILES.items()}


def test_members_of_tars_made_elsewhere_are_read(tmp_path: Path) -> None:
    """GNU tars with long names, folders and links: only plain files count as files."""
    path = tmp_path / "made.tar"
    long_name = f"{'d' * 90}/{'f' * 90}.wav"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        link = tarfile.TarInfo("link.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        info = tarfile.TarInfo(long_name)
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    found = members(path.read_bytes())
    assert [(member.name, member.is_file) for member in found] == [
        ("folder", False),
        ("link.wav", False),
        (long_name, True),
    ]
    assert path.read_bytes()[found[2].offset : found[2].offset + 3] == b"abc"


@pytest.mark.parametrize("content", [b"RIFF" + bytes(4000), b"garbage" * 200, b"x"])
def test_what_is_no_tar_is_refused(content: bytes) -> None:
    with pytest.raises(DeadInput) as dead:
        members(content)
    assert dead.value.code == "not_a_tar"


def test_a_tar_cut_inside_a_member_gives_the_members_before_and_names_the_cut_one() -> None:
    content, offsets = tar_of(FILES)
    names, damage = read_until_damage(content[: offsets["a.flac"] + 100])
    assert names == ["a.json"]
    assert damage is not None
    assert (
        damage.code,
        "'a.flac'" in str(damage),
        str(offsets["a.flac"] + 100) in str(damage),
    ) == ("damaged_shard", True, True)


def test_a_header_that_was_damaged_is_named_by_its_byte() -> None:
    content, offsets = tar_of(FILES)
    place = offsets["a.flac"] - 512
    names, damage = read_until_damage(content[:place] + b"\xff" * 512 + content[place + 512 :])
    assert names == ["a.json"]
    assert damage is not None
    assert (damage.code, f"byte {place}" in str(damage)) == ("damaged_shard", True)


def test_garbage_behind_the_last_member_is_damage_too() -> None:
    content, _ = tar_of(FILES)
    names, damage = read_until_damage(content[:-1024] + b"\xff" * 1024)
    assert names == list(FILES)
    assert damage is not None
    assert damage.code == "damaged_shard"


def test_an_archive_without_members_has_none() -> None:
    assert members(bytes(1024)) == []
