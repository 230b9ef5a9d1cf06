"""A server of OpenAI's protocol that rewords captions well, badly, late or never, as a test asks: a
process of its own on 127.0.0.1.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

KEY = "sk-test-4f9d"
_OPENERS = (
    "Picture this:",
    "Here is what you hear.",
    "Listen:",
    "To put it another way:",
    "In short:",
    "Think of it so:",
)


class Model:
    """What the server answers: decided by the request and by how often it came, so that every run
    is the same.
    """

    def __init__(self, folder: Path, plan: dict[str, float], latency_s: float) -> None:
        self.folder, self.plan, self.latency_s = folder, plan, latency_s
        self.seen: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.lock = Lock()

    def behaviour(self, body: dict[str, Any]) -> str:
        """What happens to a request: one of the plan's kinds with its share, else it is answered
        well.
        """
        mark = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
        with self.lock:
            self.seen[mark] += 1
            draw = (
                int(hashlib.sha256(f"{mark}{self.seen[mark]}".encode()).hexdigest()[:8], 16)
                / 0xFFFFFFFF
            )
        for kind, share in (
            (kind, share) for kind, share in self.plan.items() if kind != "bad_batches"
        ):
            if draw < share:
                return kind
            draw -= share
        return "well"

    def log(self, kind: str, body: dict[str, Any], usage: dict[str, int]) -> None:
        """Note a request that was answered in full, and its tokens."""
        line = {
            "kind": kind,
            "asked": body["messages"][1]["content"],
            "model": body["model"],
            **usage,
        }
        with self.lock, (self.folder / "answered.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")

    def completion(self, body: dict[str, Any], kind: str) -> dict[str, Any]:
        """A chat completion."""
        asked = json.loads(body["messages"][1]["content"])
        field = body.get("response_format", {}).get("json_schema", {}).get("name", "paraphrases")
        tell, how = (described, field) if "title" in asked else (reworded, kind)
        content = json.dumps(
            {field: [tell(asked, number, how) for number in range(asked["count"])]},
            ensure_ascii=False,
        )
        if kind == "not_json":
            content = content[: len(content) // 2]
        message = {
            "role": "assistant",
            "content": content,
            "refusal": "I cannot help with that." if kind == "refuse" else None,
        }
        finish = "length" if kind == "cut_off" else "stop"
        usage = {
            "prompt_tokens": len(json.dumps(body)) // 4,
            "completion_tokens": min(len(content) // 4, body.get("max_tokens", 10**9)),
        }
        self.log(kind, body, usage)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": f"{body['model']}-stub",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }


def reworded(asked: dict[str, Any], number: int, kind: str) -> str:
    """A rewording that keeps every fact, or (of kind "wrong") one that does not."""
    caption: str = asked["caption"]
    if kind == "obedient" and "reply only with" in caption:
        return caption.split("reply only with", 1)[1].strip(" .")
    if kind != "wrong":
        return f"{_OPENERS[number % len(_OPENERS)]} {caption}"
    for pattern, new in (
        (r"\bmajor\b", "minor"),
        (r"\bminor\b", "major"),
        (r"\b(\d\d\d?) (BPM|beats)", "7\\1 \\2"),
        (r"[^.]+\.\s*$", ""),
    ):
        changed = re.sub(pattern, new, caption, count=1)
        if changed != caption:
            return f"Wrongly put: {changed}"
    return "Something else."


def described(asked: dict[str, Any], number: int, field: str) -> str:
    """A sentence or tag about a track: good ones, one that names the artist, one that states a
    tempo, one with a link.
    """
    if field == "tags":
        return (
            f"warm {len(asked['title'])}-part strings",
            "soft drums",
            asked.get("artist", "calm"),
            "120 bpm",
        )[number % 4]
    texts = (
        f"Warm strings of {len(asked['title'])} players carry the tune.",
        f"This is a typical song by {asked.get('artist', 'somebody')}.",
        "It runs at 120 BPM from start to end.",
        "Hear more at https://example.com today.",
        "Soft drums play. A calm mood fills the room!",
    )
    return texts[number % len(texts)]


class Handler(BaseHTTPRequestHandler):
    """The endpoints that Obbligato calls."""

    protocol_version = "HTTP/1.1"
    model: ClassVar[Model]

    def log_message(self, *_args: object) -> None:
        """Silence."""

    def _send(self, status: int, body: dict[str, Any] | bytes, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _error(self, status: int, message: str, **headers: str) -> None:
        self._send(
            status, {"error": {"message": message, "type": "error", "code": None}}, **headers
        )

    def do_POST(self) -> None:
        """Completions, files and batches."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self._error(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
        elif self.path.endswith("/chat/completions"):
            self._complete(json.loads(content))
        elif self.path.endswith("/files"):
            self._take_file(content)
        else:
            self._take_batch(json.loads(content))

    def do_GET(self) -> None:
        """Batches and the files that they left."""
        parts = self.path.partition("?")[0].split("/")
        if parts[-1] == "content":
            self._send(200, self.model.files[parts[-2]])
        elif parts[-1] == "batches":
            self._send(
                200,
                {
                    "object": "list",
                    "data": [shown(batch) for batch in self.model.batches.values()],
                    "has_more": False,
                },
            )
        else:
            batch = self.model.batches[parts[-1]]
            batch["looks"] += 1
            if batch["looks"] >= 2 and batch["status"] == "in_progress":
                run_batch(self.model, batch)
            self._send(200, shown(batch))

    def _complete(self, body: dict[str, Any]) -> None:
        kind = self.model.behaviour(body)
        time.sleep(self.model.latency_s)
        if kind == "429":
            self._error(429, "slow down", Retry_After="0.05")
        elif kind == "500":
            self._error(500, "out of order")
        elif kind == "400":
            self._error(400, "no such parameter")
        elif kind == "quota":
            self._send(
                429,
                {
                    "error": {
                        "message": "no money left",
                        "type": "insufficient_quota",
                        "code": "insufficient_quota",
                    }
                },
            )
        elif kind == "unknown_model":
            self._error(404, f"The model `{body['model']}` does not exist")
        elif kind == "never":
            time.sleep(30)
        elif kind == "half":
            answer = json.dumps(self.model.completion(body, kind)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: len(answer) // 2])
            self.close_connection = True
        else:
            time.sleep(0.5 if kind == "late" else 0)
            self._send(200, self.model.completion(body, kind))

    def _take_file(self, content: bytes) -> None:
        boundary = content.split(b"\r\n", 1)[0]
        part = next(part for part in content.split(boundary) if b"filename=" in part)
        name = f"file-{len(self.model.files)}"
        self.model.files[name] = part.split(b"\r\n\r\n", 1)[1].rstrip(b"\r\n")
        self._send(
            200,
            {
                "id": name,
                "object": "file",
                "bytes": 1,
                "created_at": 1,
                "filename": "b.jsonl",
                "purpose": "batch",
                "status": "processed",
            },
        )

    def _take_batch(self, asked: dict[str, Any]) -> None:
        number = len(self.model.batches)
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": "24h",
            "status": "in_progress",
            "created_at": number,
            "metadata": asked["metadata"],
            "looks": 0,
        }
        self.model.batches[batch["id"]] = batch
        self._send(200, shown(batch))


def shown(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch as its owner sees it."""
    return {name: value for name, value in batch.items() if name != "looks"}


def run_batch(model: Model, batch: dict[str, Any]) -> None:
    """Answer a batch: the first expires with half of it done, of the second every third request
    fails, the others are answered whole.
    """
    lines = [json.loads(line) for line in model.files[batch["input_file_id"]].decode().splitlines()]
    kind = (
        {"batch_0": "expired", "batch_1": "partly"}.get(batch["id"], "whole")
        if model.plan.get("bad_batches")
        else "whole"
    )
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for index, line in enumerate(lines):
        if kind == "expired" and index % 2:
            error = {
                "code": "batch_expired",
                "message": (
                    "This request could not be executed before the completion window expired."
                ),
            }
            failed.append(
                {
                    "id": f"r{index}",
                    "custom_id": line["custom_id"],
                    "response": None,
                    "error": error,
                }
            )
        elif kind == "partly" and not index % 3:
            body = {"error": {"message": "out of order", "code": "server_error"}}
            failed.append(
                {
                    "id": f"r{index}",
                    "custom_id": line["custom_id"],
                    "response": {"status_code": 500, "body": body},
                    "error": None,
                }
            )
        else:
            behaviour = model.behaviour(line["body"])
            answer = model.completion(line["body"], behaviour if behaviour == "wrong" else "well")
            done.append(
                {
                    "id": f"r{index}",
                    "custom_id": line["custom_id"],
                    "response": {"status_code": 200, "body": answer},
                    "error": None,
                }
            )
    batch["status"] = "expired" if kind == "expired" else "completed"
    for name, rows in (("output_file_id", done), ("error_file_id", failed)):
        if rows:
            batch[name] = f"{batch['id']}-{name}"
            model.files[batch[name]] = "".join(json.dumps(row) + "\n" for row in rows).encode()


class Running:
    """A server that is up: its URL, and what it answered so far."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self._log = url, folder / "answered.jsonl"

    def answered(self) -> list[dict[str, Any]]:
        """Every request that was answered, in order."""
        return (
            [json.loads(line) for line in self._log.read_text().splitlines()]
            if self._log.exists()
            else []
        )


@contextmanager
def llm_server(folder: Path, latency_s: float = 0.0, **plan: float) -> Iterator[Running]:
    """A server whose `plan` gives each kind of bad behaviour its share of the requests."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, str(folder), json.dumps(plan), str(latency_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Running(f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", folder)
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until killed; the port is the first line of output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("plan", type=json.loads)
    parser.add_argument("latency_s", type=float)
    given = parser.parse_args()
    Handler.model = Model(given.folder, given.plan, given.latency_s)
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
