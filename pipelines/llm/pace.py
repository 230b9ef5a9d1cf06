"""A server's limit per minute, kept to without wasting it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

# what was not used within this time is lost: a minute never holds more than 61 seconds' worth
_BURST_S: Final = 1.0
_MARGIN: Final = 60 / 61  # so the pace is slower by that


class RateLimit:
    """At most `per_minute` units (requests, tokens) in any minute; 0: no limit.

    First come, first served.

    Units taken in advance and not used can be given back.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_minute * _MARGIN / 60
        self._most = max(1.0, self._per_s * _BURST_S)
        self._clock, self._at, self._free = clock, clock(), self._most
        self._turn = asyncio.Lock()

    async def take(self, units: float) -> None:
        """Wait until so many units may be used.

        More than fit in one burst are waited for as a debt.
        """
        if not self._per_s:
            return
        async with self._turn:
            self._fill()
            self._free -= units
            if self._free < 0:
                await asyncio.sleep(-self._free / self._per_s)

    def give_back(self, units: float) -> None:
        """Return units that were taken and not used."""
        if self._per_s:
            self._fill()
            self._free = min(self._most, self._free + units)

    def _fill(self) -> None:
        now = self._clock()
        self._free = min(self._most, self._free + (now - self._at) * self._per_s)
        self._at = now
