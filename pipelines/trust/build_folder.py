"""The folder of a build, which may have come from somebody else: nothing in it waits for ever,
never ends, or leads into other folders.
"""

import os
from collections.abc import Iterable, Iterator

from pipelines.errors import PipelineError, readable
from pipelines.storage.addresses import is_below
from pipelines.storage.store import Store
from pipelines.trust.trusted import check_trust


def check_folder(store: Store) -> None:
    """Look at everything in a build's folder before anything in it is opened or changed.

    Raises `PipelineError` as `check_files` does, and `NotTrusted` for a link to a folder elsewhere
    that its reader has not named: what is removed or written there would be somebody's own.
    """
    if store.is_local:
        check_trust(store.url, _led_out(store, _checked(_entries(store.root))))


def check_files(store: Store) -> None:
    """Raise `PipelineError` for a pipe, socket or device in a local build's folder: it would be
    read for ever. Other stores have none.
    """
    for _ in _checked(_entries(store.root)) if store.is_local else ():
        pass


def _checked(entries: "Iterable[os.DirEntry[str]]") -> "Iterator[os.DirEntry[str]]":
    """The same; raises at what is not a file of a build."""
    for entry in entries:
        if not entry.is_dir() and not entry.is_file() and os.path.exists(entry.path):
            raise PipelineError(
                f"{readable(entry.path)} is a pipe, socket or device, "
                "or a link to one: not a file of a build; remove it"
            )
        yield entry


def links_out(store: Store) -> tuple[str, ...]:
    """Links in a local build's folder that lead out of it, as ``link.NAME=folder``."""
    return _led_out(store, _entries(store.root)) if store.is_local else ()


def _led_out(store: Store, entries: "Iterable[os.DirEntry[str]]") -> tuple[str, ...]:
    led = (entry.path for entry in entries if entry.is_symlink() and entry.is_dir())
    return tuple(
        readable(f"link.{os.path.relpath(path, store.root)}={os.path.realpath(path)}")
        for path in led
        if not is_below(path, store.root)
    )


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    """Everything below a folder; linked folders are given, and not entered."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)
