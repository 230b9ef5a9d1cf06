"""Where in a build a song is named: every file is searched, tables and archives by what they
hold.
"""

import json
from collections.abc import Iterator, Sequence

from pipelines.storage.arrow import read_table
from pipelines.storage.store import Store
from pipelines.storage.tar import read_members

_TEXT: tuple[str, ...] = (".json", ".txt", ".lab")


def traces(store: Store, names: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """Which of these files of a build hold one of these names."""
    sought = [form.encode() for name in names for form in {name, json.dumps(name)[1:-1]}]
    for file in files:
        if any(name in part for part in _parts(store, file) for name in sought):
            yield file


def all_files(store: Store) -> list[str]:
    """Every file of a build, by its name in it, however deep it lies."""
    with_root = (str(path) for path in store.fs.find(store.root))
    return sorted(path.removeprefix(store.root).lstrip("/") for path in with_root)


def _parts(store: Store, file: str) -> Iterator[bytes]:
    """What a file says: rows of a table as text, of an archive each member's name and, of text, its
    content; else its bytes.
    """
    if file.endswith(".parquet"):
        for batch in read_table(store, file).to_batches(1000):
            for row in batch.to_pylist():
                yield json.dumps(row, ensure_ascii=False, default=repr).encode()
        return
    if not file.endswith(".tar"):
        yield store.read_bytes(file)
        return
    with store.open(file) as opened:
        for member in [*read_members(opened)]:
            yield member.name.encode()
            if member.name.endswith(_TEXT):
                opened.seek(member.offset)
                yield opened.read(member.size)
