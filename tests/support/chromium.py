"""Headless Chromium by its DevTools protocol, over a pipe: no port is opened."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
_ANSWER_S: Final = 120
_END: Final = b"\0"


class PageError(Exception):
    """What a script on the page has thrown."""


class Page:
    """A page, and what happened on it: requests, messages of its console, violations."""

    def __init__(self, wire: "Wire", session: str) -> None:
        self._wire, self._session = wire, session
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self._wire.call(method, params, self._session, self._heard)

    def _heard(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:2000])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(params["args"])[:2000])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """The window's size in px, and the theme that its reader prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[theme])

    def open(self, address: str) -> None:
        """Open an address, until the page says that it is ready."""
        self.send("Page.navigate", url=address)
        self.wait_for("document.body && document.body.dataset.ready === 'true'")

    def value(self, script: str) -> Any:
        """What an expression gives, once it is settled."""
        done = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        if "exceptionDetails" in done:
            raise PageError(json.dumps(done["exceptionDetails"])[:2000])
        return done["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression holds; one that throws does not, yet."""
        self.value(
            "new Promise((done, fail) => { const end = performance.now() + 60000;"
            f" const holds = () => {{ try {{ return {condition}; }} catch {{ return false; }} }};"
            " const look = () => holds() ? done(true) :"
            " performance.now() > end ? fail(new Error('waited')) : setTimeout(look, 5); look(); })"
        )

    def press(self, key: str, code: str = "") -> None:
        """Press a key and let it go."""
        named = {" ": "Space", "/": "Slash", "?": "Slash"}
        params = {"key": key, "code": code or named.get(key, f"Key{key.upper()}")}
        text = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **params, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **params)

    def picture(self, file: Path) -> None:
        """What is seen, as a PNG file."""
        done = self.send("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(done["data"]))


class Wire:
    """Messages of the protocol over a pair of pipes, each ended by a zero byte."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = os.fdopen(reader, "rb"), os.fdopen(writer, "wb")
        self._last = 0

    def call(
        self, method: str, params: dict[str, Any], session: str = "", heard: Any = None
    ) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._writer.write(json.dumps(message).encode() + _END)
        self._writer.flush()
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            if heard:
                heard(answer)

    def _message(self) -> bytes:
        out = bytearray()
        while (sign := self._reader.read(1)) != _END:
            if not sign:
                raise PageError("Chromium has ended")
            out += sign
        return bytes(out)

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A new page of a Chromium of its own, which ends with the block."""
    assert PROGRAM
    to_read, theirs_to_write = os.pipe()
    theirs_to_read, to_write = os.pipe()
    command = [
        PROGRAM, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run",
        "--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
        "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
        f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip

    # Chromium reads from descriptor 3 and writes to 4
    moved = f'exec "$@" 3<&{theirs_to_read} 4>&{theirs_to_write}'
    process = subprocess.Popen(
        ["bash", "-c", moved, "bash", *command],
        pass_fds=(theirs_to_read, theirs_to_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_to_read)
    os.close(theirs_to_write)
    wire = Wire(to_read, to_write)
    try:
        target = wire.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = wire.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        yield Page(wire, attached["sessionId"])
        wire.call("Browser.close", {})
    finally:
        process.terminate()
        process.wait(timeout=_ANSWER_S)
        wire.close()
