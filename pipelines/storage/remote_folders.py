"""Remote folders: what they hold, walked and matched, and what is known of single files in them."""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from fsspec.utils import glob_translate

from pipelines.errors import PipelineError
from pipelines.storage.remote import located, remote_errors

SIGNS: Final = "*?["  # of a glob
_MOST_NAMES: Final = 100_000  # of remote files remembered at once: about 30 MB


class RemoteFacts(NamedTuple):
    """By which a changed file is noticed."""

    size: int
    modified: str


def walk(fs: Any, path: str, depth: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Files and folders below a prefix, a folder at a time.

    Raises for a folder that cannot be listed: its songs would go missing.

    That is why this is not `fs.walk`, which leaves such folders out: its on_error holds for the
    first folder alone.
    """
    waiting = [(path, 1)]
    while waiting:
        folder, level = waiting.pop()
        try:
            for info in _entries(fs, folder):
                if leads_on(info) and (depth is None or level < depth):
                    waiting.append((info["name"], level + 1))
                yield info
        except FileNotFoundError as error:
            raise PipelineError(
                f"{fs.unstrip_protocol(folder)} does not exist, or went away while it was listed"
            ) from error


def _entries(fs: Any, folder: str) -> Iterator[Mapping[str, Any]]:
    """What a remote folder holds.

    S3 is asked a page at a time, so that a folder of any size is listed in little memory.

    Other file systems (GCS among them) give a folder as one list: about 0.6 kB a name, so 6 GB for
    ten million names in one folder.
    """
    if not _pages(fs):
        own = folder.rstrip("/")  # some name the folder itself among what it holds
        yield from (
            info
            for info in fs.ls(folder, detail=True)
            if not (leads_on(info) and info["name"].rstrip("/") == own)
        )
        return
    bucket, _, key = folder.partition("/")
    prefix = f"{key}/" if key else ""
    after: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/", **after)
        yield from (
            {"name": f"{bucket}/{found['Prefix'][:-1]}", "type": "directory"}
            for found in page.get("CommonPrefixes", ())
        )
        yield from (
            {**found, "name": f"{bucket}/{found['Key']}", "size": found["Size"], "type": "file"}
            for found in page.get("Contents", ())
        )
        if not page.get("IsTruncated"):
            return
        after = {"ContinuationToken": page["NextContinuationToken"]}


def _pages(fs: Any) -> bool:
    return hasattr(fs, "call_s3")  # s3fs


def is_folder(fs: Any, path: str) -> bool:
    """Whether there is anything below a path."""
    if not _pages(fs):
        return bool(fs.isdir(path))
    try:
        return next(_entries(fs, path), None) is not None  # s3fs's isdir would list it whole
    except FileNotFoundError:
        return False


def leads_on(info: Mapping[str, Any]) -> bool:
    """Whether an entry is a folder."""
    return bool(info["type"] == "directory")


def matching(fs: Any, pattern: str) -> Iterator[Mapping[str, Any]]:
    """Files and folders that match a glob; fsspec's own glob leaves out what lies in a folder that
    cannot be listed.
    """
    root = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    depth = None if "**" in pattern else pattern.count("/") - root.count("/")
    matches = re.compile(glob_translate(pattern)).match
    return (info for info in walk(fs, root, depth) if matches(info["name"]))


def facts_of(info: Mapping[str, Any]) -> RemoteFacts:
    """Facts of an entry."""
    version = (
        info.get("ETag")
        or info.get("mtime")
        or info.get("LastModified")
        or info.get("created")
        or ""
    )
    return RemoteFacts(int(info.get("size") or 0), str(version))


class Folders:
    """What the files of remote folders are: one request a folder, not a thousand.

    The folders used last are held, up to `_MOST_NAMES` names together. Files of a folder with more
    names than that are asked for singly; for a manifest of millions of them, `ingest.check_remote =
    false` spares the requests.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[str, Mapping[str, RemoteFacts] | None] = OrderedDict()
        self._names = 0
        self._client: Any = None

    def clear(self, client: Any = None) -> None:
        """Forget all; `client` is for http from here on, as of `located`."""
        self._held.clear()
        self._names = 0
        self._client = client

    def facts(self, uri: str) -> RemoteFacts:
        """Size and version of a file.

        Raises `KeyError` or `FileNotFoundError` where there is none.
        """
        folder, _, name = uri.rpartition("/")
        if folder not in self._held:
            self._hold(folder)
        self._held.move_to_end(folder)
        known = self._held[folder]
        return _single(uri, self._client) if known is None else known[name]

    def _hold(self, folder: str) -> None:
        # servers of HTTP list nothing
        self._held[folder] = known = (
            None if folder.partition("://")[0] in ("http", "https") else _few(folder)
        )
        self._names += len(known or ()) + 1
        while self._names > _MOST_NAMES + 1:  # which one folder never exceeds
            _, dropped = self._held.popitem(last=False)
            self._names -= len(dropped or ()) + 1


def _few(url: str) -> Mapping[str, RemoteFacts] | None:
    """The files of a remote folder.

    None where it has more than `_MOST_NAMES` names, empty where there is no folder.
    """
    fs, path = located(url)
    try:
        with remote_errors(url):
            found = {
                info["name"].rpartition("/")[2]: facts_of(info)
                for info in islice(_entries(fs, path), _MOST_NAMES + 1)
            }
    except FileNotFoundError:
        return {}
    return found if len(found) <= _MOST_NAMES else None


def _single(uri: str, client: Any) -> RemoteFacts:
    fs, path = located(uri, client=client)
    with remote_errors(uri):
        return facts_of(fs.info(path))
