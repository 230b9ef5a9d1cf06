"""The review's page over HTTP, on loopback alone, for whoever holds its token.

The page itself holds nothing of a build. All else is given where a request names this server as its
host, comes from this page, and carries the token, which stands in the address behind ``#``: it is
sent to nobody by a browser, and by the page as a header.
"""

import hmac
import json
import re
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast

from flows.screens.report.page import review_html
from flows.screens.review.desk import ReviewDesk
from pipelines.errors import PipelineError, WrongArgument

LOOPBACK: Final = "127.0.0.1"
TOKEN: Final = "X-Obbligato-Token"
_MOST_BYTES: Final = 1 << 16  # of an edit: a thousand taps take a quarter of it
_WAIT_S: Final = 30  # for the rest of a request
_PART: Final = re.compile(r"/part/([a-z]+(?:/\d{1,9}){0,2})")
_CLIP: Final = re.compile(r"/clip/([0-9a-f]{16}-\d{1,12}-\d{1,12})")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class ReviewServer(ThreadingHTTPServer):
    """Serves the page of a desk, and its parts from a folder; begins to listen when it is made.

    Raises `OSError` where the port is taken.
    """

    daemon_threads = True

    def __init__(self, desk: ReviewDesk, folder: Path, title: str, port: int = 0) -> None:
        self.desk, self.folder = desk, folder
        self.token = secrets.token_urlsafe(24)
        self.page = review_html(title).encode()
        super().__init__((LOOPBACK, port), _ReviewRequest)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to open: whoever has it can read and correct."""
        return f"http://{LOOPBACK}:{self.port}/#token={self.token}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request may call this server: a name that leads here by somebody's DNS is none."""
        return (f"{LOOPBACK}:{self.port}", f"localhost:{self.port}")


class _ReviewRequest(BaseHTTPRequestHandler):
    timeout = _WAIT_S
    protocol_version = "HTTP/1.1"

    @property
    def _review(self) -> ReviewServer:
        return cast(ReviewServer, self.server)

    def do_GET(self) -> None:
        """Give the page, a part of it, or the state of a clip."""
        self._answer(self._given)

    def do_POST(self) -> None:
        """Make an edit."""
        self._answer(self._edited)

    def _answer(self, answer: Any) -> None:
        try:
            kind, content = answer()
            status = HTTPStatus.OK
        except Refused as refused:
            status, kind, content = refused.status, "application/json", _told(refused)
        except WrongArgument as wrong:
            status, kind, content = HTTPStatus.BAD_REQUEST, "application/json", _told(wrong)
        except PipelineError as error:  # such as a build that holds the folder
            status, kind, content = HTTPStatus.CONFLICT, "application/json", _told(error)
        if status is not HTTPStatus.OK:
            self.close_connection = True  # what is left of the request is not read
        self._send(status, kind, content)

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": f"{kind}; charset=utf-8"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _given(self) -> tuple[str, bytes]:
        self._check_host()
        if self.path == "/":
            return "text/html", self._review.page
        self._check_token()
        if part := _PART.fullmatch(self.path):
            file = self._review.folder / f"{part[1]}.json"
            if file.is_file():
                return "application/json", file.read_bytes()
        elif clip := _CLIP.fullmatch(self.path):
            return "application/json", _json(self._review.desk.state(clip[1]))
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")

    def _edited(self) -> tuple[str, bytes]:
        self._check_host()
        origin = self.headers.get("Origin", "")
        if origin.removeprefix("http://") not in self._review.hosts:
            raise Refused(HTTPStatus.FORBIDDEN, "edits come from the review's own page alone")
        self._check_token()
        clip = _CLIP.fullmatch(self.path)
        if clip is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
        return "application/json", _json(self._review.desk.edit(clip[1], self._body()))

    def _check_host(self) -> None:
        if self.headers.get("Host", "") not in self._review.hosts:
            raise Refused(HTTPStatus.FORBIDDEN, "this server answers to its own address alone")

    def _check_token(self) -> None:
        given = self.headers.get(TOKEN, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._review.token.encode()):
            message = "open the address that `obbligato review` printed, with what follows `#`"
            raise Refused(HTTPStatus.FORBIDDEN, message)

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Content-Type", "") != "application/json" or not length.isdecimal():
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an edit is JSON of a known length")
        if int(length) > _MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_MOST_BYTES} bytes")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "not JSON") from error

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _told(error: Exception) -> bytes:
    return _json({"message": str(error)})
