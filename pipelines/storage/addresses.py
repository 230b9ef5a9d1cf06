"""Where a source's bytes are, how much of that may be told to anybody, and what a table from
outside may name.

What is published of a source (in samples, clips, the listing and the ledger) is its URI without the
base that the recipe cuts off, and without the query of an http address, which may be a signature;
``#q=`` and a hash of it stand in its place, so that two files told apart by it stay two. A build
keeps the whole addresses in its folder `private/`, which only its owner may enter and no export
takes.
"""

import hashlib
import ipaddress
import json
import os
import re
import socket
import tempfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import IO, Any, Final

import fsspec

from pipelines.errors import DeadInput
from pipelines.extras import MissingExtra, naming_extras
from pipelines.storage.store import Store
from schemas.corpus import InputRow
from schemas.recipe import IngestRecipe

PRIVATE: Final = "private"
HTTP: Final = ("http", "https")
_QUERY: Final = re.compile(r"[?#]")
_HIDDEN: Final = re.compile(r"#q=[0-9a-f]{16}$")
_S3: Final = re.compile(r"[A-Za-z0-9._-]{1,255}|arn:.*")  # what its library sends at all
_GCS: Final = re.compile(r"[a-z0-9._-]{3,222}")
_BUCKETS: Final = {"s3": _S3, "s3a": _S3, "gs": _GCS, "gcs": _GCS}
_KEY_LIMIT: Final = 1024  # bytes of a name in an object store


def check_remote(uri: str, recipe: IngestRecipe) -> None:
    """Raise `DeadInput` for a URL that a table from outside may not name, or no store can have."""
    protocol, _, rest = uri.partition("://")
    host, _, name = rest.partition("/")
    if "::" in uri:
        raise DeadInput(
            "protocol", "chains several file systems (::), which a table from outside may not"
        )
    if protocol not in recipe.protocols:
        raise DeadInput(
            "protocol",
            "not among ingest.protocols; fetch the file, or allow the protocol",
            protocol,
        )
    if "@" in re.split(r"[?#]", host, maxsplit=1)[0]:
        raise DeadInput(
            "credentials",
            (
                "names a user or password, which would be stored "
                "with the build; set them in the environment"
            ),
        )
    if (problem := _not_available(protocol)) is not None:
        raise DeadInput("protocol", problem, protocol)
    bucket = _BUCKETS.get(protocol)
    if bucket is not None and (
        not bucket.fullmatch(host) or not 0 < len(name.encode()) <= _KEY_LIMIT
    ):
        raise DeadInput(
            "bad_place",
            f"is not an address of a file in {protocol}: expected {protocol}://bucket/name",
            host[:80],
        )


@lru_cache
def _not_available(protocol: str) -> str | None:
    """Why files of a protocol cannot be opened here; none where they can."""
    try:
        with naming_extras():
            fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError, MissingExtra) as error:
        return str(error)
    return None


def check_local(path: str, recipe: IngestRecipe) -> None:
    """Raise `DeadInput` for a path that does not lie below `ingest.paths_below`, links followed."""
    if recipe.paths_below and not is_below(path, recipe.paths_below):
        raise DeadInput("outside", f"does not lie below ingest.paths_below = {recipe.paths_below}")


def is_below(path: str, folder: str) -> bool:
    """Whether a path, all links followed, leads into a folder.

    >>> is_below("/music/../etc/passwd", "/music"), is_below("/music/a.wav", "/music")
    (False, True)
    """
    root = os.path.realpath(folder)
    return os.path.realpath(path).startswith(root.rstrip("/") + "/")


def published_uri(uri: str, base: str) -> str:
    """What may be told of where a source is.

    >>> published_uri("https://host/x.wav?signature=secret", "")
    'https://host/x.wav#q=b2cfc4864b25a7cd'
    >>> published_uri("/home/ann/music/a/x.wav", "/home/ann/music")
    'a/x.wav'
    """
    address = uri
    if uri.partition("://")[0] in HTTP and (cut := _QUERY.search(uri)) is not None:
        address = (
            f"{uri[: cut.start()]}#q={hashlib.sha256(uri[cut.start() :].encode()).hexdigest()[:16]}"
        )
    return address.removeprefix(base.rstrip("/") + "/") if base else address


class Addresses:
    """Whole addresses of published URIs, apart from the build until its listing counts."""

    def __init__(self) -> None:
        self._waiting: dict[str, IO[bytes]] = {}

    def add(self, published: str, whole: str) -> None:
        """Note the whole address of a published URI."""
        name = _address_file(published)
        if name not in self._waiting:
            # Closed when it is kept, or with this object.
            self._waiting[name] = tempfile.TemporaryFile()  # noqa: SIM115
        self._waiting[name].write(json.dumps([published, whole]).encode() + b"\n")

    def keep(self, store: Store) -> None:
        """Write them to the build's private folder, in place of those that stand there."""
        if self._waiting and store.is_local:
            os.makedirs(store.path(PRIVATE), mode=0o700, exist_ok=True)
        for name, content in self._waiting.items():
            content.seek(0)
            with content, store.writer(name) as out:
                while block := content.read(1 << 20):
                    out.write(block)
        for stale in {f"{PRIVATE}/{name}" for name in store.names(PRIVATE)} - self._waiting.keys():
            store.delete(stale)


def published_rows(
    rows: Iterable[InputRow], recipe: IngestRecipe, addresses: Addresses
) -> Iterator[InputRow]:
    """Rows with the published form of where they are.

    The whole addresses of those that hide a query are noted.
    """
    for row in rows:
        published, named = (
            published_uri(row.source.uri, recipe.base),
            _published_name(row, recipe.base),
        )
        if published != row.source.uri and row.outcome is None and _HIDDEN.search(published):
            addresses.add(published, row.source.uri)
        unchanged = (published, named) == (row.source.uri, row.row)
        yield (
            row
            if unchanged
            else row.model_copy(
                update={"source": row.source.model_copy(update={"uri": published}), "row": named}
            )
        )


def _published_name(row: InputRow, base: str) -> str:
    """The published form of a row's name: its file, and perhaps ``#`` and a line or key."""
    if row.row.startswith(row.source.uri):
        return published_uri(row.source.uri, base) + row.row[len(row.source.uri) :]
    file, mark, line = row.row.rpartition("#")
    return published_uri(file, base) + mark + line if mark else row.row


def _address_file(uri: str) -> str:
    return f"{PRIVATE}/addresses-{uri[-16:-14]}.jsonl"


class PublishedSources:
    """Where the sources of a build are, by what is published of that."""

    def __init__(self, store: Store, recipe: IngestRecipe) -> None:
        self._store, self._base = store, recipe.base
        self._known: dict[str, dict[str, str]] = {}

    def whole(self, uri: str) -> str:
        """The path or URL of a published URI.

        Raises `DeadInput` where the build does not have it any more.
        """
        is_cut = self._base and "://" not in uri and not os.path.isabs(uri)
        address = f"{self._base.rstrip('/')}/{uri}" if is_cut else uri
        if address.partition("://")[0] not in HTTP or not _HIDDEN.search(address):
            return address
        name = _address_file(uri)
        if name not in self._known:
            self._known[name] = (
                dict(map(json.loads, self._store.read_bytes(name).splitlines()))
                if self._store.exists(name)
                else {}
            )
        found = self._known[name].get(uri)
        # a list that came with the data may claim any place
        if not isinstance(found, str) or published_uri(found, self._base) != uri:
            raise DeadInput(
                "no_address",
                (
                    f"its whole address is not in {PRIVATE}/ of the build; "
                    "run `obbligato build` again with its source"
                ),
            )
        return found


async def public_client(**options: Any) -> Any:
    """A client for http that connects to public addresses alone, checked where a connection is
    made: after names are resolved, and for each redirect (of which it follows ten).
    """
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=_public_socket), **options
    )


def _public_socket(found: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that a name was resolved to.

    Raises `DeadInput` ("private_address") for one that is not public.
    """
    family, kind, protocol, _, address = found
    if not is_public(address[0]):
        raise DeadInput(
            "private_address",
            "leads to this machine or its own network; ingest.private_addresses allows that",
            address[0],
        )
    return socket.socket(family=family, type=kind, proto=protocol)


def is_public(address: str) -> bool:
    """Whether an address is of the open network, also where IPv6 stands for one of IPv4.

    >>> is_public("8.8.8.8")
    True
    >>> local = ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "0.0.0.0"]
    >>> any(is_public(one) for one in local)
    False
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return found.is_global and not found.is_multicast
