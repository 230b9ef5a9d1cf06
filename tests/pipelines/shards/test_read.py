"""A shard's whole samples come out, and everything else as a problem that names shard and key."""

import gzip
import io
import os
import random
import tarfile
from pathlib import Path

import fsspec
import pytest

from pipelines.errors import PipelineError
from pipelines.shards.find import ShardProblem, find_shards
from pipelines.shards.read import Entry, RawSample, as_ours, read_shard
from tests.pipelines.shards.shard_samples import (
    KEY,
    flac,
    foreign,
    our_sample,
    ours,
    tar_bytes,
    write_build,
    write_shard,
)


def read(path: Path, **limits: int) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Keys of the samples read, and (key, code, message) of the problems."""
    (shard,) = find_shards(str(path)).shards
    entries: list[Entry] = list(read_shard(shard, **limits))
    keys = [entry.key for entry in entries if isinstance(entry, RawSample)]
    return keys, [
        (entry.key, entry.code, entry.message)
        for entry in entries
        if isinstance(entry, ShardProblem)
    ]


def test_a_sound_shard_gives_its_samples_and_no_problem(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", foreign("000", "001"))
    assert read(path) == (["000", "001"], [])


def test_content_is_the_members_own_bytes(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", foreign("000"))
    for entry in read_shard(find_shards(str(path)).shards[0]):
        assert isinstance(entry, RawSample)
        assert entry.audio is not None
        assert entry.content(entry.audio) == flac(1.0)
        assert entry.facts == {"caption": "A flute plays a slow air."}


def test_a_shard_cut_inside_a_member_gives_the_whole_samples_before(tmp_path: Path) -> None:
    whole = tar_bytes(foreign("000", "001"))
    cut_at = whole.index(b"001.flac") + 600
    path = tmp_path / "a.tar"
    path.write_bytes(whole[:cut_at])
    message = f"ends at byte {cut_at}, inside '001.flac': it was cut off, or a size in it is wrong"
    assert read(path) == (["000"], [("", "damaged_shard", message)])


def test_a_sample_whose_last_member_is_cut_off_is_not_used(tmp_path: Path) -> None:
    whole = tar_bytes(foreign("000", "001"))
    path = tmp_path / "a.tar"
    path.write_bytes(whole[: whole.index(b"001.json") + 512])
    keys, problems = read(path)
    assert keys == ["000"]
    assert problems[0] == ("001", "cut_sample", "is cut by the damage that follows; not used")
    assert problems[1][1] == "damaged_shard"


def test_a_garbled_header_is_damage_at_its_byte(tmp_path: Path) -> None:
    whole = bytearray(tar_bytes(foreign("000", "001")))
    header = whole.index(b"001.flac")
    whole[header : header + 512] = b"\xa5" * 512
    path = tmp_path / "a.tar"
    path.write_bytes(whole)
    assert read(path) == (
        ["000"],
        [("", "damaged_shard", f"has a damaged header at byte {header}; what follows is not read")],
    )


def test_a_shard_without_end_blocks_gives_all_samples_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(foreign("000", "001"))[:-1024])
    message = "has no end-of-archive block: its writer was stopped, and samples may be missing"
    assert read(path) == (["000", "001"], [("", "no_end", message)])


def test_a_key_that_comes_again_is_a_problem_and_its_first_sample_stands(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "a.tar", [*foreign("000"), *foreign("001"), *foreign("000", caption="Another.")]
    )
    message = (
        "comes again after other keys; only the first is used. "
        "A sample's members must stand side by side, once"
    )
    assert read(path) == (["000", "001"], [("000", "repeated_key", message)])


def test_a_repeated_member_is_a_problem(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", [("000.flac", flac(0.5)), *foreign("000")])
    assert read(path) == (
        ["000"],
        [
            (
                "000",
                "repeated_member",
                "has more than one .flac member; the first, at byte 512, is used",
            )
        ],
    )


@pytest.mark.parametrize(
    ("members", "problems"),
    [
        ([("0.json", b"{}")], [("0", "no_audio", "has no audio: its members are .json")]),
        ([("0.flac", b"")], [("0", "no_json", "has no JSON")]),
        ([("0.flac", b""), ("0.txt", b"A flute.")], []),
        (
            [("0.flac", b""), ("0.WAV", b""), ("0.json", b"{}")],
            [
                (
                    "0",
                    "several_audio",
                    "has 2 audio members, .flac, .wav: which is meant is not stated",
                )
            ],
        ),
        ([("0.flac", b""), ("0.vocals.flac", b""), ("0.json", b"{}")], []),
        (
            [("0.flac", b""), ("0.json", b"[]")],
            [("0", "bad_json", "its JSON is not an object: b'[]'")],
        ),
        (
            [("0.flac", b""), ("0.json", b'{"a": NaN}')],
            [("0", "bad_json", "its JSON cannot be read: NaN is not a JSON number")],
        ),
        (
            [("0.flac", b""), ("0.json", b'{"a": 1e999}')],
            [("0", "bad_json", "its JSON cannot be read: 1e999 is not a JSON number")],
        ),
        (
            [("0.flac", b""), ("0.json", b'{"a": 1' + b"0" * 5000 + b"}")],
            [
                (
                    "0",
                    "bad_json",
                    (
                        "its JSON cannot be read: a whole number "
                        "of 5001 signs is more than 64 bits hold"
                    ),
                )
            ],
        ),
        (
            [("0.flac", b""), ("0.json", b'{"a": 1, "a": 2}')],
            [("0", "bad_json", "its JSON cannot be read: a name stands twice in one object")],
        ),
        (
            [("0.flac", b""), ("0.json", b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}")],
            [("0", "bad_json", "its JSON is nested more than 64 deep")],
        ),
        (
            [("README", b""), ("0.flac", b""), ("0.json", b"{}")],
            [("", "no_sample", "'README' belongs to no sample: expected key.extension")],
        ),
        ([("__meta__", b""), ("0.flac", b""), ("0.json", b"{}")], []),
        (
            [("../0.flac", b""), ("../0.json", b"{}")],
            [
                (
                    "../0",
                    "unsafe_name",
                    (
                        "leads out of the folder it would be unpacked into; "
                        "never written under this name"
                    ),
                )
            ],
        ),
        ([], [("", "empty", "holds no samples")]),
    ],
)
def test_what_is_wrong_is_said_of_the_sample_it_is_wrong_with(
    tmp_path: Path, members: list[tuple[str, bytes]], problems: list[tuple[str, str, str]]
) -> None:
    assert read(write_shard(tmp_path / "a.tar", members))[1] == problems


def test_deep_nesting_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "a.tar", [("0.flac", b""), ("0.json", b"[" * 100_000), *foreign("1")]
    )
    keys, problems = read(path)
    assert keys == ["0", "1"]
    assert [code for _, code, _ in problems] == ["bad_json"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_are_not_followed(tmp_path: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("000.flac")
    link.type, link.linkname = kind, "/etc/passwd"
    path = tmp_path / "a.tar"
    path.write_bytes(link.tobuf(tarfile.USTAR_FORMAT) + tar_bytes([("000.json", b"{}")]))
    message = "'000.flac' is a link, device, pipe or sparse file: not followed, not read"
    assert read(path) == (
        ["000"],
        [
            ("000", "not_a_file", message),
            ("000", "no_audio", "has no audio: its members are .json"),
        ],
    )


def test_folders_inside_a_tar_are_no_problem(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("a")
    folder.type = tarfile.DIRTYPE
    path = tmp_path / "a.tar"
    path.write_bytes(folder.tobuf(tarfile.USTAR_FORMAT) + tar_bytes(foreign("a/000")))
    assert read(path) == (["a/000"], [])


def test_a_header_that_claims_a_terabyte_is_not_believed(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(foreign("000"))[:-1024] + header.tobuf(tarfile.GNU_FORMAT))
    keys, problems = read(path)
    assert keys == ["000"]
    assert [code for _, code, _ in problems] == ["damaged_shard"]


def test_a_negative_size_does_not_send_the_reader_round(tmp_path: Path) -> None:
    header = tarfile.TarInfo("000.flac")
    header.size = -1024
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(foreign("a"))[:-1024] + header.tobuf(tarfile.GNU_FORMAT))
    keys, problems = read(path)
    assert keys == ["a"]
    assert [code for _, code, _ in problems][-1] == "damaged_shard"


def test_a_gzip_is_read_and_a_cut_one_as_far_as_it_goes(tmp_path: Path) -> None:
    noise = ("001.flac", random.Random(0).randbytes(50_000))
    packed = gzip.compress(tar_bytes([*foreign("000"), noise, ("001.json", b"{}")]))
    (tmp_path / "a.tar.gz").write_bytes(packed)
    (tmp_path / "b.tar.gz").write_bytes(packed[:-20_000])
    assert read(tmp_path / "a.tar.gz") == (["000", "001"], [])
    keys, problems = read(tmp_path / "b.tar.gz")
    assert keys == ["000"]
    assert [code for _, code, _ in problems] == ["damaged_shard"]
    assert problems[0][2].startswith("is a damaged gzip (Compressed file ended")


def test_a_gzip_is_unpacked_to_a_limit_only(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(
        gzip.compress(
            tar_bytes([*foreign("000"), ("001.flac", bytes(1 << 22)), ("001.json", b"{}")])
        )
    )
    keys, problems = read(tmp_path / "a.tar.gz", unpacked_limit=1 << 21)
    assert keys == ["000"]
    assert problems == [
        (
            "",
            "damaged_shard",
            "unpacks to more than 0.00195 GiB; what follows is not read. Unpack or fetch it first",
        )
    ]


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    assert read(tmp_path / "a.tar") == (
        [],
        [("", "not_a_file", "is a pipe, socket, device or folder, not a regular file")],
    )


def test_a_link_to_nothing_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.tar").symlink_to("/nowhere.tar")
    assert read(tmp_path / "a.tar") == (
        [],
        [("", "unreadable", "cannot be opened: No such file or directory")],
    )


def test_names_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as tar:
        for name, content in foreign("caf\udce9"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    (tmp_path / "a.tar").write_bytes(out.getvalue())
    assert read(tmp_path / "a.tar") == ([r"caf\udce9"], [])


def test_our_own_record_is_known_and_a_broken_one_named(tmp_path: Path) -> None:
    broken = (
        our_sample("pu1")
        .model_dump_json()
        .replace('"duration_s":2.0', '"duration_s":-2.0')
        .encode()
    )
    path = write_shard(
        tmp_path / "a.tar",
        [
            *ours(our_sample()),
            (f"{KEY[:-4]}pu1.flac", flac()),
            (f"{KEY[:-4]}pu1.json", broken),
            *foreign("0"),
        ],
    )
    found = [
        as_ours(entry)
        for entry in read_shard(find_shards(str(path)).shards[0])
        if isinstance(entry, RawSample)
    ]
    assert found[0] == our_sample()
    assert isinstance(found[1], ShardProblem)
    assert found[1].message == "breaks the contract at duration_s: Input should be greater than 0"
    assert found[2] is None


def test_a_variant_that_is_none_breaks_the_contract(tmp_path: Path) -> None:
    content = our_sample().model_dump_json().replace('"variant":"orig"', '"variant":"s0"').encode()
    path = write_shard(tmp_path / "a.tar", [(f"{KEY}.flac", flac()), (f"{KEY}.json", content)])
    (found,) = [
        as_ours(entry)
        for entry in read_shard(find_shards(str(path)).shards[0])
        if isinstance(entry, RawSample)
    ]
    assert isinstance(found, ShardProblem)
    assert found.code == "contract"


def test_half_a_unicode_character_is_refused_before_the_contract_is_asked(tmp_path: Path) -> None:
    content = (
        our_sample().model_dump_json().replace('"variant":"orig"', '"variant":"\\ud800"').encode()
    )
    path = write_shard(tmp_path / "a.tar", [(f"{KEY}.flac", flac()), (f"{KEY}.json", content)])
    assert [
        entry.code
        for entry in read_shard(find_shards(str(path)).shards[0])
        if isinstance(entry, ShardProblem)
    ] == ["bad_json"]


def test_a_target_is_a_build_a_folder_a_glob_a_file_or_a_url(tmp_path: Path) -> None:
    build = write_build(tmp_path / "build", our_sample())
    write_shard(build / "shards/.part-train-00001.tar", [])
    shard = build / "shards/train-00000.tar"
    for target in (build, build / "shards", f"{build}/shards/*.tar", shard, f"file://{shard}"):
        found = find_shards(str(target))
        assert [one.path for one in found.shards] == [str(shard)]
        assert found.problems == ()
    with fsspec.open("memory://set/train-00000.tar", "wb") as out:
        out.write(shard.read_bytes())
    for target in ("memory://set", "memory://set/*.tar", "memory://set/train-00000.tar"):
        assert [one.name for one in find_shards(target).shards] == ["train-00000.tar"]


def test_a_shard_that_a_build_does_not_list_is_a_problem_and_one_missing_too(
    tmp_path: Path,
) -> None:
    build = write_build(tmp_path, our_sample())
    (build / "shards/train-00000.tar").rename(build / "shards/train-00009.tar")
    found = find_shards(str(build))
    assert [(problem.shard, problem.code) for problem in found.problems] == [
        ("train-00009.tar", "unlisted")
    ]
    (missing,) = (entry for shard in found.shards for entry in read_shard(shard))
    assert isinstance(missing, ShardProblem)
    assert (missing.shard, missing.code) == ("train-00000.tar", "unreadable")


@pytest.mark.parametrize(
    ("name", "message"), [("nothing", "does not exist"), ("", "holds no shards")]
)
def test_a_target_without_shards_says_so(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        find_shards(str(tmp_path / name))
