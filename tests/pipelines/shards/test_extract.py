"""Members become files under safe names, in the folder and nowhere else."""

import json
from pathlib import Path

import pytest

from pipelines.errors import PipelineError
from pipelines.shards.extract import extract, safe_name
from pipelines.shards.find import ShardProblem, find_shards
from tests.pipelines.shards.shard_samples import flac, foreign, write_shard


def extracted(target: Path, folder: Path, *keys: str, force: bool = False) -> list[str]:
    return [
        found
        for found in extract(find_shards(str(target)), str(folder), keys, force=force)
        if not isinstance(found, ShardProblem)
    ]


def test_audio_is_copied_and_json_indented(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", foreign("0", "1"))
    assert extracted(path, tmp_path / "out", "1") == ["1.flac", "1.json"]
    assert (tmp_path / "out/1.flac").read_bytes() == flac(1.0)
    assert (
        tmp_path / "out/1.json"
    ).read_text() == '{\n "caption": "A flute plays a slow air."\n}\n'
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.flac", "1.json"]


@pytest.mark.parametrize(
    "key",
    [
        "../../escape",
        "/tmp/escape",
        "a/../../escape",
        "new\nline",
        ".hidden/-x",
        "x" * 90 + "/" + "y" * 90,
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    path = write_shard(tmp_path / "in/deep/a.tar", foreign(key))
    names = extracted(path, tmp_path / "in/deep/out")
    assert len(set(names)) == 2
    assert sorted(names) == sorted(path.name for path in (tmp_path / "in/deep/out").iterdir())
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {path, *(tmp_path / "in/deep/out" / name for name in names)}
    assert all(name == safe_name(name) or len(name) <= 120 for name in names)


def test_names_that_become_alike_stay_apart() -> None:
    assert len({safe_name(name) for name in ("a b.wav", "a_b.wav", "a/b.wav", "a\nb.wav")}) == 4


@pytest.mark.parametrize("name", ["音楽.flac", "ok/../../x.flac", "-rf.flac", "a b.flac"])
def test_a_changed_name_keeps_its_extension(name: str) -> None:
    assert safe_name(name).partition(".")[2] == "flac"


def test_nothing_is_replaced_unless_forced(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", foreign("0"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/0.json").write_text("mine")
    with pytest.raises(PipelineError, match=r"out/0\.json exists: name another folder, or --force"):
        extracted(path, tmp_path / "out")
    assert (tmp_path / "out/0.json").read_text() == "mine"
    extracted(path, tmp_path / "out", force=True)
    assert json.loads((tmp_path / "out/0.json").read_text()) == {
        "caption": "A flute plays a slow air."
    }


def test_a_link_in_the_folder_is_replaced_not_followed(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", foreign("0"))
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out/0.json").symlink_to(tmp_path / "precious")
    extracted(path, tmp_path / "out", force=True)
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "out/0.json").is_symlink()


def test_the_same_name_in_two_shards_is_a_problem_not_a_loss(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", foreign("0", caption="first"))
    write_shard(tmp_path / "b.tar", foreign("0", caption="second"))
    found = list(extract(find_shards(str(tmp_path)), str(tmp_path / "out"), ()))
    assert [row.code if isinstance(row, ShardProblem) else row for row in found] == [
        "0.flac",
        "0.json",
        "repeated_key",
        "repeated_key",
    ]
    assert json.loads((tmp_path / "out/0.json").read_text()) == {"caption": "first"}


def test_a_key_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", foreign("0"))
    with pytest.raises(PipelineError, match="no sample has a key that starts with 'z'"):
        extracted(path, tmp_path / "out", "z")
