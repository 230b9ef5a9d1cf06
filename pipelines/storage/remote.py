"""Remote file systems: opened so that nothing remembered is taken for what is there, their errors
told to the reader.
"""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import fsspec

from pipelines.errors import PipelineError, TransientError
from pipelines.extras import naming_extras

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# bytes of an upload's or download's parts; four at a time, so that a file of any size takes 64 MiB
PART: Final = 16 << 20
MOST_PARTS: Final = 10_000  # of one upload, S3's limit
# A cached listing would hide what other processes have written or deleted since.
_FRESH: Final[dict[str, Any]] = {"use_listings_cache": False}
_S3: Final = {**_FRESH, "max_concurrency": 4, "default_block_size": PART}
OBJECT_STORES: Final = {"s3": _S3, "s3a": _S3, "gs": _FRESH, "gcs": _FRESH}


class RemoteFile(io.RawIOBase):
    """A remote file opened for reading, whose errors are told as a store's are."""

    def __init__(self, opened: IO[bytes], url: str) -> None:
        self._opened, self._url = opened, url

    def readable(self) -> bool:
        """As of any file."""
        return True

    def seekable(self) -> bool:
        """As of any file."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        return self._opened.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._opened.tell()

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """As of any file."""
        view = memoryview(buffer)
        with remote_errors(self._url):
            content = self._opened.read(len(view))
        view[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """As of any file."""
        if not self.closed:
            self._opened.close()
        super().close()


def part_bytes(size: int) -> int:
    """Bytes of each part of an upload of this size: whole MiB, few enough parts for S3."""
    return max(PART, math.ceil(size / MOST_PARTS / (1 << 20)) << 20)


def located(url: str, *, client: Any = None) -> tuple[Any, str]:
    """A URL's file system and the path in it.

    Object stores are asked anew each time: no listing is remembered.

    `client` makes the client of an http address, in place of fsspec's own.

    Raises `PipelineError` for an unknown protocol, or one whose package is not installed.
    """
    try:
        protocol = url.partition("://")[0]
        options = (
            {"get_client": client}
            if client and protocol in ("http", "https")
            else OBJECT_STORES.get(protocol, {})
        )
        with naming_extras():
            fs, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise PipelineError(without_query(f"{url}: {error}")) from error
    return fs, path


@contextmanager
def remote_errors(url: str) -> Iterator[None]:
    """Tell errors of a remote file system as `PipelineError`.

    A file that is missing, or there already, stays what it is.
    """
    try:
        yield
    except FileNotFoundError as error:
        if isinstance(error.__cause__, PipelineError):  # which a library took for a missing file
            raise error.__cause__ from None
        raise
    except (FileExistsError, PipelineError):
        raise
    except Exception as error:  # each file system's library has errors of its own
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise TransientError(
            without_query(
                f"{url} cannot be reached or used ({what}); "
                "check the URL, the credentials and the network"
            )
        ) from error


def without_query(message: str) -> str:
    """A message without the queries of the http addresses in it, which may be signatures.

    >>> without_query("https://host/x.wav?signature=secret is not there")
    'https://host/x.wav?… is not there'
    """
    return re.sub(r"(https?://[^\s?#'\"]*)[?#][^\s'\")]*", r"\1?…", message)
