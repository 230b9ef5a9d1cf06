"""What language models answered, and the money set aside for it, on disk before it is used: a folder of small files of JSON lines.

Each line is an event. Lines that wait at the same time are written as one file, whole or not at all, so that a flush serves many
calls; many small files become one. Reading all events in any order gives the same state.
"""

import asyncio
import json
import threading
import uuid
from typing import Any, Final, NamedTuple

from pipelines.store import Store
from pipelines.writers.request import Answer

FOLDER: Final = "answers"
_LOOSE: Final = 200  # files before they are made one


class Batch(NamedTuple):
    """Requests that are handed over together: our name for them, the server's ("" until it is known), what is set aside by hash."""

    name: str
    server_id: str
    aside: dict[str, int]


class Answers:
    """Answers by their request's hash. One process writes at a time (the build's lock sees to it)."""

    def __init__(self, store: Store, folder: str = FOLDER) -> None:
        self._store, self._folder = store, folder
        self._answers: dict[str, str] = {}  # as JSON: a million take about a gigabyte
        self._aside: dict[str, int] = {}  # by call
        self._paid: dict[str, int] = {}
        self._batches: dict[str, dict[str, int]] = {}
        self._server_ids: dict[str, str] = {}
        self._collected: set[str] = set()
        self._waiting: list[str] = []
        self._loose: dict[str, list[str]] = {}
        self._writing, self._disk = asyncio.Lock(), threading.Lock()
        for name in store.names(folder):
            if name.endswith(".jsonl"):
                lines = store.read_bytes(f"{folder}/{name}").decode().rstrip("\n").split("\n")  # a text may hold other line separators
                if len(lines) <= _LOOSE:
                    self._loose[name] = lines
                for line in lines:
                    self._take(json.loads(line))

    def get(self, request: str) -> Answer | None:
        """The answer to a request, if one was ever given."""
        found = self._answers.get(request)
        return Answer.model_validate_json(found) if found else None

    @property
    def spent(self) -> int:
        """Billionths of a dollar: what calls cost, and what was set aside for those of which nobody knows the end."""
        return sum(self._paid.values()) + sum(amount for call, amount in self._aside.items() if call not in self._paid)

    @property
    def batches(self) -> tuple[Batch, ...]:
        """Batches that are not collected yet, by name."""
        waiting = sorted(self._batches.keys() - self._collected)
        return tuple(Batch(name, self._server_ids.get(name, ""), self._batches[name]) for name in waiting)

    async def set_aside(self, amount: int) -> str:
        """Note an amount for a call that is about to be made. Returns the call's name."""
        call = uuid.uuid4().hex[:16]
        await self._write({"call": call, "aside": amount})
        return call

    async def settle(self, call: str, paid: int, answer: Answer | None = None) -> None:
        """Note what a call cost, with its answer if it gave one."""
        event: dict[str, Any] = {"call": call, "paid": paid}
        await self._write({**event, "answers": [answer.model_dump(mode="json")]} if answer else event)

    async def open_batch(self, aside: dict[str, int]) -> Batch:
        """Note a batch that is about to be handed over, and what is set aside for each of its requests."""
        batch = Batch(uuid.uuid4().hex[:16], "", aside)
        await self._write({"batch": batch.name, "aside": aside})
        return batch

    async def name_batch(self, batch: Batch, server_id: str) -> Batch:
        """Note what the server calls a batch that was handed over."""
        await self._write({"batch": batch.name, "server_id": server_id})
        return batch._replace(server_id=server_id)

    async def close_batch(self, batch: Batch, paid: dict[str, int], answers: list[Answer]) -> None:
        """Note what became of a batch: what each request cost (those that are missing cost nothing) and the answers."""
        found = [answer.model_dump(mode="json") for answer in answers]
        await self._write({"batch": batch.name, "paid": {**dict.fromkeys(batch.aside, 0), **paid}, "answers": found})

    async def _write(self, event: dict[str, Any]) -> None:
        """Publish an event, together with all that wait by then, and only then take it for true."""
        line = json.dumps(event, ensure_ascii=False, sort_keys=True)
        self._waiting.append(line)
        async with self._writing:
            lines, self._waiting = self._waiting, []
            try:
                if lines:
                    await asyncio.to_thread(self._publish, lines)
            except BaseException:
                self._waiting = lines + self._waiting  # others wait for these lines too, and must not take them for written
                raise
        self._take(event)

    def _publish(self, lines: list[str]) -> None:
        with self._disk:  # a call that is cancelled leaves its thread at work
            if len(self._loose) < _LOOSE:
                self._loose[self._put(lines)] = lines
                return
            self._put([line for name in sorted(self._loose) for line in self._loose[name]] + lines)
            for name in self._loose:
                self._store.delete(f"{self._folder}/{name}")
            self._loose = {}

    def _put(self, lines: list[str]) -> str:
        name = f"{uuid.uuid4().hex}.jsonl"
        self._store.write_bytes(f"{self._folder}/{name}", ("\n".join(lines) + "\n").encode())
        return name

    def _take(self, event: dict[str, Any]) -> None:
        """Change the state by one event. A call of a batch is named by the batch and its request.

        Earlier versions noted what a server claimed, below nothing too: no amount ever lowers what is spent.
        """
        if "batch" not in event:
            amounts = {name: {event["call"]: max(0, event[name])} for name in ("aside", "paid") if name in event}
        else:
            batch = event["batch"]
            amounts = {
                name: {f"{batch}/{request}": max(0, amount) for request, amount in event[name].items()}
                for name in ("aside", "paid")
                if name in event
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
