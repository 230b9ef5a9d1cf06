"""Names of members that `shards extract` may not write as they are. The review's table B."""

import io
import tarfile
from pathlib import Path

import pytest

from pipelines.shards.extract import extract, safe_name
from pipelines.shards.find import ShardProblem, find_shards
from tests.pipelines.shards.shard_samples import foreign

KEYS = (
    "../up",
    "/tmp/up",
    "a/../../up",
    "-rf",
    "C:\\up",
    "\x1b[2J",
    "new\nline",
    "tab\t",
    "\u202eright",
    "e\u0301",
    "\u00e9",
    "zero\u200bwidth",
    "x" * 81,
    "x" * 400,
    "é" * 150,
    "🎵",
    "\"'$(touch owned)",
    "%2e%2e",
    "a b",
    "a_b",
)


def test_b2_members_of_a_renamed_sample_keep_one_stem(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    # ours holds no name as long as these
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in (part for key in KEYS for part in foreign(key)):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    names = [
        found
        for found in extract(find_shards(str(path)), str(tmp_path / "out"), ())
        if not isinstance(found, ShardProblem)
    ]
    stems = {name.partition(".")[0] for name in names}
    assert sorted(names) == sorted(
        f"{stem}.{extension}" for stem in stems for extension in ("flac", "json")
    )
    assert sorted(names) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(stems) == len({name for name in names if name.endswith(".flac")})
    assert all(len(name) <= 130 for name in names)


def test_b2_names_stay_apart_by_key() -> None:
    audio = {safe_name(f"{key}.flac") for key in KEYS}
    assert len(audio) == len(KEYS)
    assert {name.replace(".flac", ".json") for name in audio} == {
        safe_name(f"{key}.json") for key in KEYS
    }


@pytest.mark.parametrize(
    "extension", ["fl ac", "flac/", "a.b c", "x" * 50, ".", "", "\x1b", "\u202ecalf", "é", "flac."]
)
def test_b2_a_changed_extension_leaves_the_stem(extension: str) -> None:
    name = safe_name(f"up\n.{extension}" if "/" not in extension else "up\n.fl\\ac")
    assert name.startswith(f"{safe_name(f'up{chr(10)}.flac').removesuffix('.flac')}.")
    assert all(sign.isascii() and (sign.isalnum() or sign in "._-") for sign in name)
    assert not name.endswith(".")


def test_b2_extensions_that_become_alike_stay_apart() -> None:
    assert len({safe_name(f"up.{extension}") for extension in ("a b", "a_b", "a\nb", "a\tb")}) == 4
