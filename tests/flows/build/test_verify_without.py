"""A build is verified where what labelled it is not installed any more."""

import shutil
from pathlib import Path

import pytest

from schemas.recipe import Recipe
from tests.support.building import digests
from tests.support.running import obbligato
from tests.support.tone_corpus import PLAIN, Corpus

INFO = "obbligato_plain-0.1.dist-info"
FILES = {
    "METADATA": "Metadata-Version: 2.1\nName: obbligato-plain\nVersion: 0.1\n",
    "entry_points.txt": "[obbligato.annotators]\nplain = tests.support.plug_ins.plain_annotator\n",
}
BY_PLUG_IN: Recipe = PLAIN.replaced(
    annotate=PLAIN.annotate.replaced(key="plain"), verify=PLAIN.verify.replaced(relabel_clips=1)
)


@pytest.fixture(scope="module")
def built_by_plug_in(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A build whose key came from a package that has gone since, with a copy beside it."""
    folder = tmp_path_factory.mktemp("orphaned")
    info = folder / "packages" / INFO
    info.mkdir(parents=True)
    for name, text in FILES.items():
        (info / name).write_text(text)
    corpus = Corpus(folder, songs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(info.parent))
        corpus.build(BY_PLUG_IN)
    shutil.rmtree(info.parent)
    shutil.copytree(corpus.out, folder / "copy")
    return corpus


@pytest.fixture
def orphaned(built_by_plug_in: Corpus) -> Path:
    """That build, as it was; elsewhere nobody has named its plug-in."""
    shutil.rmtree(built_by_plug_in.out)
    return Path(shutil.copytree(built_by_plug_in.folder / "copy", built_by_plug_in.out))


def test_all_but_the_missing_annotators_labels_is_verified_and_one_line_says_so(
    orphaned: Path,
) -> None:
    before = digests(orphaned)
    told = obbligato("verify", orphaned)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert "labels were not extracted again" in told.stderr
    assert "stages annotate, verify are up to date is not known" in told.stderr
    assert "no annotator of key called 'plain'" in told.stderr
    assert "every file is as written, every shard keeps the contract" in told.stderr
    assert digests(orphaned) == before  # what the last verify found stays


def test_a_file_that_was_changed_is_still_named(orphaned: Path) -> None:
    [caption, *_] = sorted((orphaned / "captions").glob("*.parquet"))
    caption.write_bytes(caption.read_bytes()[:-1] + b"x")
    told = obbligato("verify", orphaned)
    assert told.returncode == 1
    assert f"captions/{caption.name} is not what was written" in told.stderr


def test_a_stage_that_is_stale_is_still_named(orphaned: Path) -> None:
    for marker in (orphaned / "captions").glob("*.done.json"):
        marker.unlink()
    told = obbligato("verify", orphaned)
    assert told.returncode == 1
    assert "stage caption is unfinished or stale" in told.stderr


def test_a_shard_that_breaks_the_contract_is_still_named(
    orphaned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.build.local.check_whole", lambda *_: None)
    shard = next((orphaned / "shards").glob("train*.tar"))
    content = bytearray(shard.read_bytes())
    content[600] ^= 1
    shard.write_bytes(content)
    told = obbligato("verify", orphaned)
    assert told.returncode == 1
    assert f"{shard.name}: its SHA-256 is not the one in its index" in told.stderr
