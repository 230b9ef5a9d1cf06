"""Answers and money on disk: read back whole after any end, in few files, and settled once."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.llm.answers import Answers, damaged_lines
from pipelines.llm.request import Answer
from pipelines.storage.store import Store


def answer(request: str) -> Answer:
    return Answer(
        request=request, texts=(f"A text for {request}.",), prompt_tokens=9, answer_tokens=4
    )


def read(folder: Path) -> Answers:
    return Answers(Store(str(folder)))


def test_what_was_set_aside_and_never_settled_is_spent(tmp_path: Path) -> None:
    async def story() -> None:
        kept = read(tmp_path)
        settled, failed = await kept.set_aside(100), await kept.set_aside(100)
        await kept.set_aside(70)  # then the process is killed
        await kept.settle(settled, 30, answer("0a"))
        await kept.settle(failed, 0)

    asyncio.run(story())
    again = read(tmp_path)
    assert again.spent == 30 + 0 + 70
    assert again.get("0a") == answer("0a")
    assert again.get("0b") is None


def test_calls_that_wait_together_share_a_file_and_many_files_become_one(tmp_path: Path) -> None:
    async def story() -> None:
        kept = read(tmp_path)
        await asyncio.gather(*(kept.set_aside(1) for _ in range(50)))
        assert len(list((tmp_path / "answers").iterdir())) <= 3
        for number in range(300):
            await kept.settle(await kept.set_aside(2), 1, answer(f"{number:02x}"))

    asyncio.run(story())
    assert len(list((tmp_path / "answers").iterdir())) <= 202  # 200 loose ones, and the merged
    again = read(tmp_path)
    assert again.spent == 50 + 300
    assert all(again.get(f"{number:02x}") == answer(f"{number:02x}") for number in range(300))


def test_a_merge_that_was_killed_half_way_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        kept = read(tmp_path)
        for number in range(5):
            await kept.settle(await kept.set_aside(9), 3, answer(f"{number:02x}"))

    asyncio.run(story())
    folder = tmp_path / "answers"
    lines = "".join(file.read_text() for file in sorted(folder.iterdir()))
    # the merged file stands, the small ones are not gone yet
    (folder / "merged.jsonl").write_text(lines)
    again = read(tmp_path)
    assert again.spent == 15
    assert again.get("04") == answer("04")


def test_a_batch_is_open_until_it_is_closed_and_what_it_did_not_answer_costs_nothing(
    tmp_path: Path,
) -> None:
    async def opened() -> None:
        kept = read(tmp_path)
        await kept.name_batch(await kept.open_batch({"0a": 10, "0b": 20}), "batch_7")
        await kept.open_batch({"0c": 40})  # killed before the server named it

    asyncio.run(opened())
    again = read(tmp_path)
    assert again.spent == 70
    by_id = {batch.server_id: batch for batch in again.batches}
    assert by_id["batch_7"].aside == {"0a": 10, "0b": 20}
    assert by_id[""].aside == {"0c": 40}
    asyncio.run(again.close_batch(by_id["batch_7"], {"0a": 4}, [answer("0a")]))
    closed = read(tmp_path)
    assert [batch.server_id for batch in closed.batches] == [""]
    assert closed.spent == 4 + 40
    assert closed.get("0a") == answer("0a")


def test_a_text_with_any_line_separator_is_read_back(tmp_path: Path) -> None:
    odd = answer("0a").replaced(texts=("One\u2028two\x85three\u2029four\x0bfive\nsix",))

    async def story() -> None:
        kept = read(tmp_path)
        await kept.settle(await kept.set_aside(1), 1, odd)

    asyncio.run(story())
    assert read(tmp_path).get("0a") == odd


def test_a_damaged_line_costs_its_own_answer_and_counts_at_its_worst(tmp_path: Path) -> None:
    async def story() -> None:
        kept = read(tmp_path)
        await kept.set_aside(500)  # settled by nobody
        await kept.settle(await kept.set_aside(500), 30, answer("0a"))

    asyncio.run(story())
    files = {path: path.read_bytes() for path in (tmp_path / "answers").iterdir()}
    assert all(b'"seal"' in content for content in files.values())
    for path, content in files.items():
        for offset in range(len(content)):
            path.write_bytes(
                content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]
            )
            again = read(tmp_path)
            # what cannot be read counts as the most that any call set aside
            assert again.spent >= 530, (content, offset)
            assert again.get("0a") in (None, answer("0a"))
            assert len(list(damaged_lines(Store(str(tmp_path))))) == 1
        path.write_bytes(content)


def test_lines_of_earlier_versions_have_no_seal(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    lines = [
        {"call": "1", "aside": 9},
        {"batch": "2", "aside": {"0b": 4}},
        {"call": "1", "paid": 3, "answers": [answer("0a").model_dump()]},
    ]
    (tmp_path / "answers/old.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = read(tmp_path)
    assert (again.spent, again.get("0a")) == (3 + 4, answer("0a"))
    assert list(damaged_lines(Store(str(tmp_path)))) == []


def test_damaged_lines_are_kept_aside_and_their_money_stands_in_their_place(tmp_path: Path) -> None:
    async def story() -> None:
        await read(tmp_path).set_aside(500)
        await read(tmp_path).settle(await read(tmp_path).set_aside(100), 30, answer("0a"))

    asyncio.run(story())
    file = max((tmp_path / "answers").iterdir(), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes().replace(b"A text", b"B text"))
    damaged, before = file.read_bytes(), read(tmp_path)
    # what it was paid is not believed: what was set aside for it counts
    assert before.spent == 500 + 100
    before.mend()
    assert (tmp_path / f"answers/{file.name}.damaged").read_bytes() == damaged
    assert read(tmp_path).spent == 600
    assert list(damaged_lines(Store(str(tmp_path)))) == []


def test_what_could_not_be_written_is_not_taken_for_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read(tmp_path)
    full = iter([OSError("disk full")])

    def put(lines: list[bytes], whole: Callable[[list[bytes]], str] = kept._put) -> str:
        if (error := next(full, None)) is not None:
            raise error
        return whole(lines)

    monkeypatch.setattr(kept, "_put", put)

    async def story() -> list[str | BaseException]:
        return await asyncio.gather(*(kept.set_aside(5) for _ in range(3)), return_exceptions=True)

    ended = asyncio.run(story())
    assert [type(one) for one in ended].count(OSError) == 1
    # the two that waited wrote all three: more set aside than called, never less
    assert read(tmp_path).spent == 15


def test_answers_of_earlier_versions_are_read_and_what_a_server_claimed_below_nothing_lowers_no_sum(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "a.jsonl").write_text(
        '{"aside": 100, "call": "c1"}\n'
        '{"answers": [{"answer_tokens": 4, "model": "gpt-4o-mini-2024-07-18", "prompt_tokens": '
        '9, "request": "0a", "texts": ["A text for 0a."]}], "call": "c1", "paid": 30}\n'
        '{"aside": 100, "call": "c2"}\n'
        '{"call": "c2", "paid": -2000000000000}\n'
        '{"aside": {"0b": 50, "0c": 50}, "batch": "b1"}\n'
        '{"answers": [], "batch": "b1", "paid": {"0b": -7, "0c": 5}}\n'
    )
    kept = read(tmp_path)
    assert kept.get("0a") == answer("0a").replaced(model="gpt-4o-mini-2024-07-18")
    assert kept.spent == 30 + 5
    assert kept.batches == ()
