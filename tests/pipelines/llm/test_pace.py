"""A limit per minute: never exceeded in any minute, and used nearly whole."""

import asyncio

import pytest

from pipelines.llm.pace import RateLimit


class Time:
    """Time that passes only by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("pipelines.llm.pace.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def calls(
    monkeypatch: pytest.MonkeyPatch, per_minute: int, units: float, count: int
) -> list[float]:
    """When each of so many calls may be made."""
    passing, out = Time(monkeypatch), []

    async def story() -> None:
        pace = RateLimit(per_minute, lambda: passing.now)
        for _ in range(count):
            await pace.take(units)
            out.append(passing.now)

    asyncio.run(story())
    return out


@pytest.mark.parametrize(
    ("per_minute", "units"), [(600, 1), (30, 1), (90_000, 700), (60_000, 5_000)]
)
def test_no_minute_holds_more_than_the_limit_and_most_of_it_is_used(
    monkeypatch: pytest.MonkeyPatch, per_minute: int, units: float
) -> None:
    times = calls(monkeypatch, per_minute, units, round(4 * per_minute / units))
    busiest = max(sum(start <= time < start + 60 for time in times) for start in times)
    # the first call of the minute is paid by the one before
    assert busiest * units <= per_minute + units
    assert busiest * units >= 0.9 * per_minute
    assert len(times) * units / (times[-1] - times[0]) >= 0.9 * per_minute / 60


def test_units_that_are_given_back_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    passing = Time(monkeypatch)

    async def story() -> None:
        pace = RateLimit(60_000, lambda: passing.now)
        for _ in range(300):
            await pace.take(1000)
            pace.give_back(800)

    asyncio.run(story())
    assert passing.now - 100 == pytest.approx(300 * 200 / 1000 * 61 / 60, rel=0.05)


def test_without_a_limit_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(calls(monkeypatch, 0, 1, 100)) == {100.0}
