"""A server of OpenAI's protocol on 127.0.0.1 that sends what a test tells it to, byte for byte."""

import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HONEST = {"prompt_tokens": 100, "completion_tokens": 20}


def completion(body: dict[str, Any], usage: object = None, **other: object) -> dict[str, Any]:
    """A good chat completion, but for what is given."""
    asked = json.loads(body["messages"][1]["content"])
    texts = [f"Listen, number {number}: {asked['caption']}" for number in range(asked["count"])]
    message = {"role": "assistant", "content": json.dumps({"paraphrases": texts})}
    return {
        "model": "m",
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": usage or HONEST,
        **other,
    }


class Call:
    """One call: what was asked, and ways to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        self.path, self.content, self.number = handler.path, content, 0
        self._handler = handler

    @property
    def body(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.content)
        return found

    def send(self, content: object, status: int = 200, **headers: str) -> None:
        """Answer with bytes, or with a value as JSON."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.begin(status, **{"Content-Length": str(len(raw)), **headers})
        self.write(raw)

    def begin(self, status: int = 200, **headers: str) -> None:
        """Send the head of an answer."""
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def write(self, raw: bytes) -> None:
        """Send a piece of an answer."""
        self._handler.wfile.write(raw)
        self._handler.wfile.flush()


class Hostile:
    """A server that is up: where, what it was asked, and whether it is to end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[Call] = []
        self.ending = threading.Event()


@contextmanager
def hostile_model(answer: Callable[[Call], None]) -> Iterator[Hostile]:
    """A server that does with each call what `answer` does; calls are numbered from 0."""
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def _answer(self) -> None:
            call = Call(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            with counting:
                call.number = len(up.calls)
                up.calls.append(call)
            self.close_connection = True
            with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
                answer(call)

        do_GET = do_POST = _answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    up = Hostile(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield up
    finally:
        up.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Batches:
    """Endpoints of files and batches; `outcome` makes the bytes of the n-th batch's file from the
    lines that were asked.
    """

    def __init__(
        self,
        outcome: Callable[[int, list[dict[str, Any]]], bytes],
        state: Callable[[int], object] = lambda _number: {},
    ) -> None:
        self._outcome, self._state = outcome, state
        self.files: list[list[dict[str, Any]]] = []

    def __call__(self, call: Call) -> None:
        """Answer a call."""
        parts = call.path.partition("?")[0].split("/")[2:]
        if parts == ["files"]:
            lines = [line for line in call.content.splitlines() if line.startswith(b'{"custom_id"')]
            self.files.append([json.loads(line) for line in lines])
            call.send({"id": f"file-{len(self.files) - 1}"})
        elif parts[0] == "files":
            number = int(parts[1].removeprefix("out-"))
            call.send(self._outcome(number, self.files[number]))
        else:
            number = (
                len(self.files) - 1 if len(parts) == 1 else int(parts[1].removeprefix("batch-"))
            )
            whole = {
                "id": f"batch-{number}",
                "object": "batch",
                "status": "completed",
                "output_file_id": f"out-{number}",
            }
            state = self._state(number)
            if len(parts) == 1:
                call.send(whole)
            else:
                call.send({**whole, **state} if isinstance(state, dict) else state)


def line_of(asked: dict[str, Any], **other: object) -> dict[str, Any]:
    """A good line of a batch's file, but for what is given."""
    return {
        "custom_id": asked["custom_id"],
        "response": {"status_code": 200, "body": completion(asked["body"])},
        "error": None,
        **other,
    }


def bomb(mebibytes: int) -> Iterator[bytes]:
    """A gzip file of so many mebibytes of spaces, a mebibyte at a time: each is a block of its own,
    so one serves for all.
    """
    packer = zlib.compressobj(wbits=31)
    yield packer.compress(b" ") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield from (block for _ in range(mebibytes))


def flooded(call: Call, pieces: Iterator[bytes], **headers: str) -> None:
    call.begin(200, Content_Type="application/json", **headers)
    for piece in pieces:
        call.write(piece)


def flooded_error(call: Call) -> None:
    call.begin(500)
    for _ in range(400):
        call.write(b"x" * (1 << 20))


FLOODS: dict[str, Callable[[Call], None]] = {
    "gzip": lambda call: flooded(call, bomb(640), Content_Encoding="gzip"),
    "plain": lambda call: flooded(call, (b" " * (1 << 20) for _ in range(400))),
    "error": flooded_error,
}


ONE_CALL = """
import asyncio, resource, sys
from pipelines.llm.openai_server import Server
from pipelines.llm.request import Failed, request_of
from schemas.recipe import LlmRecipe
async def story():
    llm = LlmRecipe(base_url=sys.argv[1])
    server = Server(llm)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        await server.ask(request_of(llm, "Reword.", "{}", "paraphrases", 200))
    except Failed as error:
        print(error.code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
asyncio.run(story())
"""
