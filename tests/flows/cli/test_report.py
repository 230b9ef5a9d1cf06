"""`obbligato report` and `shards report`: where the page goes, what is said, what is refused."""

import json
from pathlib import Path

from tests.pipelines.shards.shard_samples import foreign, our_sample, write_build, write_shard
from tests.support.running import obbligato
from tests.support.small_build import Built, copied


def test_a_build_gets_its_page_within_it_and_a_program_the_counts(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "build")
    done = obbligato("report", out, "--clips", 2, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    page = out / "report/index.html"
    assert found["page"] == str(page)
    assert (found["clips"], found["of"]) == (2, built.dataset.stages["pack"]["clips"])
    assert found["bytes"] == sum(
        path.stat().st_size for path in (out / "report").rglob("*") if path.is_file()
    )
    before = page.read_bytes()
    said = obbligato("report", out, "--clips", 2)
    assert page.read_bytes() == before
    assert said.stdout.splitlines()[-1] == f"open {page}"
    assert f"2 of {found['of']} clips, {found['samples']} samples" in said.stdout
    assert obbligato("verify", out).returncode == 0  # a page within it does a build no harm


def test_any_shards_get_a_page(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "theirs.tar", foreign("a", "b"))
    done = obbligato("shards", "report", shard, "--out", tmp_path / "page", "--embed")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 clips, 2 samples")
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["index.html"]


def test_what_cannot_be_done_is_one_line_and_status_2(tmp_path: Path) -> None:
    build = write_build(tmp_path / "build", our_sample())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    cases = (
        (("report", tmp_path / "nowhere"), "nowhere does not exist"),
        (("report", build), "holds no ledger: build something there first"),
        (("report", "memory://build"), "--out is missing"),
        (("shards", "report", build), "--out"),
        (("shards", "report", build, "--out", tmp_path / "mine"), "something else than a report"),
        (
            ("shards", "report", build, "--out", tmp_path / "p", "--embed", "--clips", 51),
            "--embed holds up to 50 clips",
        ),
    )
    for arguments, reason in cases:
        done = obbligato(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert reason in done.stderr
        assert not (tmp_path / "p").exists()


def test_a_build_whose_report_is_a_link_elsewhere_is_refused(built: Built, tmp_path: Path) -> None:
    out = copied(built, tmp_path / "build")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / "report").symlink_to(elsewhere)
    done = obbligato("report", out)
    assert done.returncode == 1
    assert f"link.report={elsewhere}" in done.stderr
    assert list(elsewhere.iterdir()) == []
