"""What language models answered, and the money set aside for it, on disk before it is used: a
folder of small files of JSON lines.

Each line is an event with a seal, by which damage to it is known: a damaged line costs its own
answer, and its money stays counted. Lines that wait at the same time are written as one file, whole
or not at all, so that a flush serves many calls; many small files become one. Reading all events in
any order gives the same state.
"""

import asyncio
import hashlib
import json
import logging
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, Self

from pydantic import ValidationError, model_validator

from pipelines.llm.request import Answer
from pipelines.storage.store import Store, seal
from schemas.errors import SchemaError
from schemas.record import Record

FOLDER: Final = "answers"
_LOOSE: Final = 200  # files before they are made one
_OWNER: Final = re.compile(rb'"(?:call|batch)": "([0-9a-f]{16})"')
_AMOUNT: Final = re.compile(rb"\b[0-9]{1,15}\b")
_LOG: Final = logging.getLogger(__name__)


class RequestBatch(NamedTuple):
    """Requests that are handed over together: our name for them, the server's ("" until it is
    known), what is set aside by hash.
    """

    name: str
    server_id: str
    aside: dict[str, int]


class _AnswerEvent(Record):
    """The form of an event."""

    call: str = ""
    batch: str = ""
    server_id: str = ""
    aside: int | dict[str, int] = 0
    paid: int | dict[str, int] = 0
    answers: tuple[Answer, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        amounts = [
            getattr(self, name) for name in ("aside", "paid") if name in self.model_fields_set
        ]
        if bool(self.call) == bool(self.batch) or any(
            isinstance(amount, dict) != bool(self.batch) for amount in amounts
        ):
            raise SchemaError("an event is of a call and its amount, or of a batch and its amounts")
        return self


class DamagedLine(NamedTuple):
    """A line that is not what was written, by its file's name in the store and its number."""

    file: str
    number: int
    content: bytes

    @property
    def wrong(self) -> str:
        """What is wrong, and what it costs."""
        return (
            f"is not what was written in line {self.number}: "
            "its answer is not used, and its money stays counted"
        )

    @property
    def owner(self) -> str:
        """The call or batch that it is of, or a name of its own where that cannot be read."""
        found = _OWNER.search(self.content)
        return (
            found[1].decode() if found else f"lost-{hashlib.sha256(self.content).hexdigest()[:16]}"
        )

    @property
    def amount(self) -> int:
        """Billionths of a dollar that can be read in it, or seem to."""
        return sum(map(int, _AMOUNT.findall(self.content)))


def damaged_lines(store: Store, folder: str = FOLDER) -> Iterator[DamagedLine]:
    """Lines of all answers on disk that are not what was written, a file at a time."""
    for name in _files(store, folder):
        for number, line in enumerate(_lines(store, f"{folder}/{name}"), start=1):
            if _event(line) is None:
                yield DamagedLine(f"{folder}/{name}", number, line)


def _files(store: Store, folder: str) -> list[str]:
    return [name for name in store.names(folder) if name.endswith(".jsonl")]


def _lines(store: Store, file: str) -> list[bytes]:
    content = store.read_bytes(file).removesuffix(b"\n")
    return content.split(b"\n") if content else []  # a text may hold other line separators


def _line(event: dict[str, Any]) -> bytes:
    """An event as it is stored."""
    return json.dumps({**event, "seal": seal(event)}, ensure_ascii=False, sort_keys=True).encode()


def _event(line: bytes) -> dict[str, Any] | None:
    """The event of a stored line; none where it is not what was written.

    Earlier versions wrote no seals: of theirs the form decides.
    """
    try:
        found: dict[str, Any] = json.loads(line)
        sealed = found.pop("seal", "")
        _AnswerEvent.model_validate(found)
        whole = not sealed or sealed == seal(found)
    except (ValueError, RecursionError, TypeError, AttributeError, ValidationError):
        return None
    return found if whole else None


class Answers:
    """Answers by their request's hash.

    One process writes at a time (the build's lock sees to it).
    """

    def __init__(self, store: Store, folder: str = FOLDER) -> None:
        self._store, self._folder = store, folder
        self._answers: dict[str, str] = {}  # as JSON: a million take about a gigabyte
        self._aside: dict[str, int] = {}  # by call
        self._paid: dict[str, int] = {}
        self._batches: dict[str, dict[str, int]] = {}
        self._server_ids: dict[str, str] = {}
        self._collected: set[str] = set()
        self._lost: dict[str, int] = {}  # of damaged lines, by call or batch
        self._waiting: list[bytes] = []
        self._loose: dict[str, list[bytes]] = {}
        self._writing, self._disk = asyncio.Lock(), threading.Lock()
        for name in _files(store, folder):
            lines = _lines(store, f"{folder}/{name}")
            if len(lines) <= _LOOSE:
                self._loose[name] = lines
            for number, line in enumerate(lines, start=1):
                self._take_line(line, DamagedLine(f"{folder}/{name}", number, line))

    def get(self, request: str) -> Answer | None:
        """The answer to a request, if one was ever given."""
        found = self._answers.get(request)
        return Answer.model_validate_json(found) if found else None

    @property
    def spent(self) -> int:
        """Billionths of a dollar: what calls cost, and what was set aside for those of which nobody
        knows the end.
        """
        unsettled = sum(amount for call, amount in self._aside.items() if call not in self._paid)
        return sum(self._paid.values()) + unsettled + sum(map(self._worst, self._lost))

    def _worst(self, lost: str) -> int:
        """A damaged line's cost at the worst; nothing where whole lines state it."""
        if any(
            call.partition("/")[0] == lost for known in (self._paid, self._aside) for call in known
        ):
            return 0
        return max(self._lost[lost], max(self._aside.values(), default=0))

    def mend(self) -> None:
        """Keep damaged lines aside, in files that nobody reads, and in their place the money that
        they may have cost.
        """
        damaged: dict[str, list[DamagedLine]] = {}
        for line in damaged_lines(self._store, self._folder):
            damaged.setdefault(line.file, []).append(line)
        for file, lines in damaged.items():
            kept = [line for line in _lines(self._store, file) if _event(line) is not None]
            kept += [
                _line({"call": line.owner, "aside": amount})
                for line in lines
                if (amount := self._worst(line.owner))
            ]
            self._store.write_bytes(
                f"{file}.damaged", b"\n".join(line.content for line in lines) + b"\n"
            )
            self._store.write_bytes(file, b"\n".join(kept) + b"\n")

    @property
    def batches(self) -> tuple[RequestBatch, ...]:
        """Batches that are not collected yet, by name."""
        waiting = sorted(self._batches.keys() - self._collected)
        return tuple(
            RequestBatch(name, self._server_ids.get(name, ""), self._batches[name])
            for name in waiting
        )

    async def set_aside(self, amount: int) -> str:
        """Note an amount for a call that is about to be made. Returns the call's name."""
        call = uuid.uuid4().hex[:16]
        await self._write({"call": call, "aside": amount})
        return call

    async def settle(self, call: str, paid: int, answer: Answer | None = None) -> None:
        """Note what a call cost, with its answer if it gave one."""
        event: dict[str, Any] = {"call": call, "paid": paid}
        await self._write(
            {**event, "answers": [answer.model_dump(mode="json")]} if answer else event
        )

    async def open_batch(self, aside: dict[str, int]) -> RequestBatch:
        """Note a batch before it is handed over, and what is set aside for each of its requests."""
        batch = RequestBatch(uuid.uuid4().hex[:16], "", aside)
        await self._write({"batch": batch.name, "aside": aside})
        return batch

    async def name_batch(self, batch: RequestBatch, server_id: str) -> RequestBatch:
        """Note what the server calls a batch that was handed over."""
        await self._write({"batch": batch.name, "server_id": server_id})
        return batch._replace(server_id=server_id)

    async def close_batch(
        self, batch: RequestBatch, paid: dict[str, int], answers: list[Answer]
    ) -> None:
        """Note what became of a batch: what each request cost (those that are missing cost nothing)
        and the answers.
        """
        found = [answer.model_dump(mode="json") for answer in answers]
        await self._write(
            {
                "batch": batch.name,
                "paid": {**dict.fromkeys(batch.aside, 0), **paid},
                "answers": found,
            }
        )

    async def _write(self, event: dict[str, Any]) -> None:
        """Publish an event, together with all that wait by then, and only then take it for true."""
        self._waiting.append(_line(event))
        async with self._writing:
            lines, self._waiting = self._waiting, []
            try:
                if lines:
                    await asyncio.to_thread(self._publish, lines)
            except BaseException:
                # others wait for these lines too, and must not take them for written
                self._waiting = lines + self._waiting
                raise
        self._take(event)

    def _publish(self, lines: list[bytes]) -> None:
        with self._disk:  # a call that is cancelled leaves its thread at work
            if len(self._loose) < _LOOSE:
                self._loose[self._put(lines)] = lines
                return
            self._put([line for name in sorted(self._loose) for line in self._loose[name]] + lines)
            for name in self._loose:
                self._store.delete(f"{self._folder}/{name}")
            self._loose = {}

    def _put(self, lines: list[bytes]) -> str:
        name = f"{uuid.uuid4().hex}.jsonl"
        self._store.write_bytes(f"{self._folder}/{name}", b"\n".join(lines) + b"\n")
        return name

    def _take_line(self, line: bytes, damage: DamagedLine) -> None:
        """Change the state by what a line on disk holds, or report that it is damaged."""
        event = _event(line)
        if event is not None:
            self._take(event)
            return
        _LOG.error("%s %s", damage.file, damage.wrong)
        self._lost[damage.owner] = max(damage.amount, self._lost.get(damage.owner, 0))

    def _take(self, event: dict[str, Any]) -> None:
        """Change the state by one event. A call of a batch is named by the batch and its request.

        Earlier versions noted what a server claimed, below nothing too: no amount ever lowers what
        is spent.
        """
        if "batch" not in event:
            amounts = {
                name: {event["call"]: max(0, event[name])}
                for name in ("aside", "paid")
                if name in event
            }
        else:
            batch = event["batch"]
            amounts = {
                name: _amounts(batch, event[name]) for name in ("aside", "paid") if name in event
            }
            if "aside" in event:
                self._batches[batch] = event["aside"]
            if "server_id" in event:
                self._server_ids[batch] = event["server_id"]
            if "answers" in event:
                self._collected.add(batch)
        self._aside.update(amounts.get("aside", {}))
        self._paid.update(amounts.get("paid", {}))
        for answer in event.get("answers", []):
            kept = json.dumps(answer, ensure_ascii=False, sort_keys=True)
            self._answers[answer["request"]] = min(kept, self._answers.get(answer["request"], kept))


def _amounts(batch: str, of_requests: Mapping[str, int]) -> dict[str, int]:
    """Amounts of a batch's requests, each under the name of its call."""
    return {f"{batch}/{request}": max(0, amount) for request, amount in of_requests.items()}
