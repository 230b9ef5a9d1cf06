"""The review's server answers its own page, whoever holds the token, and nobody else."""

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from flows.screens.review.desk import ReviewDesk
from flows.screens.review.server import TOKEN, ReviewServer
from pipelines.build.corrections import read_corrections
from pipelines.storage.lock import hold
from pipelines.storage.store import Store
from tests.support.small_build import Built, copied

DOUBLED = json.dumps({"kind": "doubled"})


@pytest.fixture
def server(built: Built, tmp_path: Path) -> Iterator[ReviewServer]:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "contents.json").write_text('{"name": "small"}')
    (tmp_path / "secret.json").write_text("{}")
    desk = ReviewDesk(str(copied(built, tmp_path / "out")), built.recipe, "ann", "CC0-1.0")
    with ReviewServer(desk, tmp_path / "parts", "Review") as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def asked(
    server: ReviewServer, path: str, sent: str | None = None, **headers: str | None
) -> tuple[int, Any]:
    host = f"127.0.0.1:{server.port}"
    usual: dict[str, str | None] = {"Host": host, TOKEN: server.token}
    if sent is not None:
        usual |= {"Origin": f"http://{host}", "Content-Type": "application/json"}
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(
        "GET" if sent is None else "POST",
        path,
        body=sent,
        headers={name: value for name, value in usual.items() if value is not None},
    )
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    kind = answer.headers["Content-Type"]
    return answer.status, json.loads(content) if "json" in kind else content.decode()


def a_clip(server: ReviewServer) -> str:
    return min(server.desk.unsure())


def test_the_page_holds_nothing_of_the_build_and_the_rest_wants_the_token(
    server: ReviewServer,
) -> None:
    status, page = asked(server, "/", X_Obbligato_Token=None)
    assert status == 200
    assert "Morning Meadow" not in page
    assert server.token not in page
    for path in ("/part/contents", f"/clip/{a_clip(server)}"):
        assert asked(server, path)[0] == 200
        assert asked(server, path, X_Obbligato_Token=None)[0] == 403
        assert asked(server, path, X_Obbligato_Token=server.token[:-1])[0] == 403
        assert asked(server, path, X_Obbligato_Token="ü")[0] == 403


def test_a_name_that_only_leads_here_is_refused(server: ReviewServer) -> None:
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1"):
        assert asked(server, "/", Host=host)[0] == 403
        assert asked(server, "/part/contents", Host=host)[0] == 403


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "https://127.0.0.1"])
def test_an_edit_from_another_page_is_refused(server: ReviewServer, origin: str | None) -> None:
    clip = a_clip(server)
    assert asked(server, f"/clip/{clip}", DOUBLED, Origin=origin)[0] == 403
    assert asked(server, f"/clip/{clip}", DOUBLED, Content_Type="text/plain")[0] == 415
    assert read_corrections(server.desk.store, clip[:16]) == ()


def test_nothing_beside_the_parts_is_given(server: ReviewServer) -> None:
    for path in ("/part/../secret", "/part/..%2fsecret", "/part/none", "/part//etc/passwd", "/x"):
        assert asked(server, path)[0] == 404


def test_an_edit_is_kept_with_who_and_when_and_the_labels_come_back(server: ReviewServer) -> None:
    clip = a_clip(server)
    _, before = asked(server, f"/clip/{clip}")
    status, after = asked(server, f"/clip/{clip}", DOUBLED)
    assert status == 200
    assert len(after["beats_s"]) >= 2 * len(before["beats_s"]) - 1
    assert [(one["part"], one["who"]) for one in after["set"]] == [("beats", "ann")]
    assert after["waiting"] == 1
    [edit] = read_corrections(server.desk.store, clip[:16])
    assert (edit.who, edit.clip_key) == ("ann", clip)
    withdrawn = json.dumps({"kind": "withdrawn", "parts": ["beats", "meter"]})
    assert asked(server, f"/clip/{clip}", withdrawn)[1]["beats_s"] == before["beats_s"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [("{", 400), ('{"kind": "other"}', 400), ("[" * 60_000, 400), (" " * 70_000, 413)],
)
def test_what_is_no_edit_is_named_and_changes_nothing(
    server: ReviewServer, sent: str, status: int
) -> None:
    clip = a_clip(server)
    found, answer = asked(server, f"/clip/{clip}", sent)
    assert found == status
    assert answer["message"]
    assert read_corrections(server.desk.store, clip[:16]) == ()
    assert asked(server, "/clip/0011223344556677-0-8000", DOUBLED)[0] == 400


def test_while_a_run_holds_the_build_nothing_is_written(server: ReviewServer) -> None:
    clip = a_clip(server)
    with hold(Store(server.desk.store.url), "obbligato build"):
        status, answer = asked(server, f"/clip/{clip}", DOUBLED)
    assert status == 409
    assert "obbligato build" in answer["message"]
    assert read_corrections(server.desk.store, clip[:16]) == ()
