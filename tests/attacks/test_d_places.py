"""What a table or a folder from outside may name, and what of that leaves with the data."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp.abc
import pytest

from pipelines.build.outputs import Job
from pipelines.engine import bucket as clips
from pipelines.errors import DeadInput
from pipelines.inputs.listing import list_inputs
from pipelines.stages.inputs.list_inputs import write_listing
from pipelines.stages.inputs.probe import probe_slice
from pipelines.storage.store import Store
from schemas.corpus import InputRow, Probed
from schemas.recipe import IngestRecipe, Recipe

pytest_plugins = ["tests.support.servers.object_store"]


def rows_of(table: Path, *uris: str, **recipe: Any) -> list[InputRow]:
    table.write_text("".join(json.dumps({"uri": uri}) + "\n" for uri in uris))
    return list(list_inputs([str(table)], IngestRecipe(**recipe)))


def codes(table: Path, *uris: str, **recipe: Any) -> list[str]:
    return [row.code for row in rows_of(table, *uris, **recipe)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    (tmp_path / "music/a.wav").write_bytes(b"right")
    (tmp_path / "secret.wav").write_bytes(b"secret")
    return tmp_path / "music"


BAD_PLACES = {
    "s3://x/e.wav::http://127.0.0.1:9/": "protocol",
    "dropbox://folder/a.wav": "protocol",  # a package that nobody has
    "http://[::1]/a.wav": "protocol",
    "s3://user:pw@bucket/a.wav": "credentials",
    "s3://no bucket/a.wav": "bad_place",
    "s3://bucket": "bad_place",
    "s3:///a.wav": "bad_place",
    "s3://bucket/" + "x" * 2000: "bad_place",
}


@pytest.mark.parametrize("check_remote", [True, False])
def test_d_a_row_that_names_no_possible_place_costs_itself(
    folder: Path, *, check_remote: bool
) -> None:
    found = codes(
        folder / "t.jsonl",
        "a.wav",
        *BAD_PLACES,
        "a.wav",
        check_remote=check_remote,
        protocols=("s3", "dropbox", "http"),
    )
    assert found == ["", *BAD_PLACES.values(), ""]


def test_d_a_bucket_that_is_not_there_costs_its_row(folder: Path, bucket: str, behind: Any) -> None:
    behind.put_object(Bucket=bucket, Key="a.wav", Body=b"x")
    uris = [
        f"s3://{bucket}/a.wav",
        f"s3://{bucket}/b.wav",
        "s3://no-such-bucket-here/a.wav",
        "s3://A_b/a.wav",
    ]
    assert codes(folder / "t.jsonl", *uris) == ["", "not_found", "not_found", "not_found"]


class Handler(BaseHTTPRequestHandler):
    """Gives a file, or what its path says: a redirect, or none of it."""

    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if "gone" in self.path else 200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"bytes")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Own", (Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


HTTP: dict[str, Any] = {"protocols": ("http",)}


def test_d_an_http_address_of_this_machine_is_not_asked_unless_allowed(
    folder: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    local = f"http://localhost:{url.rpartition(':')[2]}"
    uris = [
        f"{url}/a.wav",
        f"{local}/a.wav",
        f"http://[0:0:0:0:0:0:0:1]:{url.rpartition(':')[2]}/a.wav",
    ]
    assert codes(folder / "t.jsonl", *uris, **HTTP) == ["private_address"] * 3
    assert asked == []
    assert codes(folder / "t.jsonl", uris[0], **HTTP, private_addresses=True) == [""]


def test_d_it_is_refused_where_it_is_fetched_too(
    folder: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    [row] = rows_of(folder / "t.jsonl", f"{url}/a.wav", **HTTP, check_remote=False)
    for allowed in (False, True):
        job = Job(
            "memory://nowhere", "", Recipe(ingest=IngestRecipe(**HTTP, private_addresses=allowed))
        )
        with clips.local_files(job) as local:
            if allowed:
                assert Path(local(row.source)).read_bytes() == b"bytes"
                continue
            with pytest.raises(DeadInput) as dead:
                local(row.source)
            assert (dead.value.code, dead.value.figure, asked) == (
                "private_address",
                "127.0.0.1",
                [],
            )


def test_d_a_redirect_and_a_name_that_resolves_to_this_machine_lead_nowhere(
    folder: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first connection is let through as if its address were public; what it leads to is looked
    at again.
    """
    url, asked = server
    port = url.rpartition(":")[2]
    monkeypatch.setattr(
        "pipelines.storage.addresses.is_public", lambda address: address == "127.0.0.1"
    )
    target = f"{url}/to/http://127.0.0.2:{port}/a.wav"
    assert codes(folder / "t.jsonl", target, **HTTP) == ["private_address"]
    assert set(asked) == {f"/to/http://127.0.0.2:{port}/a.wav"}

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.3",
                "port": port,
                "family": 2,
                "proto": 0,
                "flags": 0,
            }
        ]

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
    assert codes(folder / "t.jsonl", f"http://rebound.example:{port}/a.wav", **HTTP) == [
        "private_address"
    ]


def test_d_redirects_end(folder: Path, server: tuple[str, list[str]]) -> None:
    url, asked = server
    loop = url + "/to/" * 30 + "a.wav"
    assert codes(folder / "t.jsonl", loop, **HTTP, private_addresses=True) == ["not_found"]
    assert len(asked) == 20  # its head and itself are asked for, each with ten redirects at most


def test_d_a_link_that_leaves_a_source_folder_is_dead_unless_allowed(folder: Path) -> None:
    (folder / "out.wav").symlink_to("../secret.wav")
    (folder / "in.wav").symlink_to("a.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")

    def fates(source: Path, **recipe: Any) -> dict[str, str]:
        return {
            os.path.basename(row.row): row.code
            for row in list_inputs([str(source)], IngestRecipe(**recipe))
        }

    assert fates(folder) == {"a.wav": "", "in.wav": "", "out.wav": "outside", "zero.wav": "outside"}
    assert fates(folder, follow_links=True) == {
        "a.wav": "",
        "in.wav": "",
        "out.wav": "",
        "zero.wav": "",
    }
    assert fates(folder / "out.wav") == {"out.wav": ""}


def test_d_paths_of_a_table_are_held_below_a_folder_where_the_recipe_says_so(folder: Path) -> None:
    (folder / "link.wav").symlink_to("../secret.wav")
    uris = [
        "a.wav",
        "../secret.wav",
        f"{folder}/../secret.wav",
        f"file://{folder.parent}/secret.wav",
        "link.wav",
        f"{folder}/a.wav",
    ]
    assert codes(folder / "t.jsonl", *uris) == [""] * 6
    assert codes(folder / "t.jsonl", *uris, paths_below=str(folder)) == [
        "",
        "outside",
        "outside",
        "outside",
        "outside",
        "",
    ]


def test_d_passwords_queries_and_the_base_stay_at_home(
    folder: Path, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = server
    signed = [f"{url}/a.wav?X-Amz-Signature=hunter2&n={number}" for number in range(3)]
    uris = [
        *signed,
        "http://user:hunter2@host/a.wav",
        "http://hunter2@host/a.wav",
        f"{url}/b.wav#hunter2",
        str(folder / "a.wav"),
    ]
    recipe = Recipe(ingest=IngestRecipe(**HTTP, private_addresses=True, base=str(tmp_path)))
    store = Store(str(tmp_path / "out"))
    rows_of(folder / "t.jsonl", *uris)
    slices = write_listing(store, list_inputs([str(folder / "t.jsonl")], recipe.ingest), recipe)
    rows = [
        row for name in slices for row in store.read_records(f"listing/{name}.parquet", InputRow)
    ]
    received = {row.row: row for row in rows}
    assert len({row.source.uri for row in rows if row.outcome is None}) == 5
    assert {name: row.code for name, row in received.items()} == {
        **{f"music/t.jsonl#{number}": "" for number in (1, 2, 3, 6, 7)},
        "music/t.jsonl#4": "credentials",
        "music/t.jsonl#5": "credentials",
    }
    published = "".join(row.model_dump_json() for row in rows)
    assert "hunter2" not in published
    assert str(tmp_path) not in published
    assert os.stat(tmp_path / "out/private").st_mode & 0o077 == 0
    with clips.local_files(Job(store.url, "", recipe)) as local:
        assert Path(local(received["music/t.jsonl#2"].source)).read_bytes() == b"bytes"
        assert Path(local(received["music/t.jsonl#7"].source)).read_bytes() == b"right"
    assert "/a.wav?X-Amz-Signature=hunter2&n=1" in asked


def test_d_a_signature_does_not_stand_in_what_is_said_of_a_missing_file(
    tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    url, _ = server
    recipe = Recipe(ingest=IngestRecipe(**HTTP, private_addresses=True, check_remote=False))
    store = Store(str(tmp_path / "out"))
    rows = rows_of(
        tmp_path / "t.jsonl",
        f"{url}/gone.wav?signature=hunter2",
        **recipe.ingest.model_dump(include={"protocols", "check_remote"}),
    )
    [name] = write_listing(store, rows, recipe)
    probe_slice(Job(store.url, name, recipe))
    [probed] = store.read_records(f"probed/{name}.parquet", Probed)
    assert probed.code == "unreadable"
    assert f"{url}/gone.wav" in probed.message
    assert "hunter2" not in probed.message


def test_d_an_address_that_the_build_has_lost_is_said(tmp_path: Path) -> None:
    recipe = Recipe(ingest=IngestRecipe(**HTTP))
    source = InputRow.model_validate(
        {"row": "x", "source": {"uri": "http://host/a.wav#q=0011223344556677"}}
    ).source
    with (
        clips.local_files(Job(str(tmp_path), "", recipe)) as local,
        pytest.raises(DeadInput, match="run `obbligato build` again with its source"),
    ):
        local(source)
