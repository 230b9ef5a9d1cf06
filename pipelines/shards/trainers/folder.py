"""The folder of an export: written beside its place and moved there whole, never over another's."""

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pipelines.errors import PipelineError, WrongArgument
from pipelines.storage.store import Published, Store, sha256_of

MANIFEST: Final = "manifest.json"


class ExportFolder:
    """A new folder being filled; `root` is where it will stand."""

    def __init__(self, root: Path, unfinished: Path) -> None:
        self.root = root
        self._store = Store(str(unfinished))
        self._written: dict[str, Published] = {}
        self._links: dict[str, str] = {}

    def write(self, name: str, content: bytes) -> Published:
        """Add a file."""
        self._written[name] = self._store.write_bytes(name, content)
        return self._written[name]

    def link(self, name: str, target: Path) -> None:
        """Add a link to a file that stands elsewhere, and stays there."""
        place = Path(self._store.path(name))
        place.symlink_to(target)
        self._links[name] = str(target)

    def close(self, about: dict[str, Any]) -> None:
        """Write the manifest: what is said of the export, and every file with bytes and SHA-256."""
        files = [
            {"file": name, "bytes": done.bytes, "sha256": done.sha256}
            for name, done in sorted(self._written.items())
        ]
        links = {"links": dict(sorted(self._links.items()))} if self._links else {}
        self._store.write_json(MANIFEST, {**about, "files": files, **links})


@contextmanager
def export_folder(to: str, *, force: bool) -> Iterator[ExportFolder]:
    """A folder that appears whole when the block ends without an error, or not at all.

    Raises `PipelineError` where something stands there already: an export is replaced with `force`,
    what is not one, or holds files that no export wrote, never.
    """
    if "://" in to:
        raise WrongArgument(f"{to} is a URL: trainers read files of this machine; name a folder")
    root = Path(to).absolute()
    _check_free(root, force)
    mark = uuid.uuid4().hex
    unfinished, old = (root.with_name(f".{root.name}.{what}-{mark}") for what in ("part", "old"))
    try:
        unfinished.mkdir(parents=True)
        yield ExportFolder(root, unfinished)
        if root.exists():
            root.rename(old)
        unfinished.rename(root)
    except OSError as error:
        raise PipelineError(f"{to} cannot be written: {error.strerror or error}") from error
    finally:
        if old.exists() and not root.exists():
            old.rename(root)
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _check_free(root: Path, force: bool) -> None:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    written = _manifest(root)
    if written is None:
        raise PipelineError(
            f"{root} exists and is not an export, so it is not replaced: name another folder"
        )
    if not force:
        raise PipelineError(f"{root} exists: name another folder, or --force to replace it")
    for path in sorted(path for path in root.rglob("*") if not path.is_dir()):
        name = path.relative_to(root).as_posix()
        is_ours = _is_link if path.is_symlink() else _is_ours
        if name != MANIFEST and not is_ours(path, written.get(name, "")):
            raise PipelineError(
                f"{path} was changed or added after the export, so the folder is not replaced: "
                "move it away, or name another folder"
            )


def _is_link(path: Path, target: str) -> bool:
    return bool(target) and str(path.readlink()) == target


def _is_ours(path: Path, sha256: str) -> bool:
    if not sha256:
        return False
    with path.open("rb") as file:
        return sha256_of(file) == sha256


def _manifest(root: Path) -> dict[str, str] | None:
    """The files that an export wrote, with their SHA-256, and its links with their targets; none
    where no export stands there.
    """
    try:
        found = json.loads((root / MANIFEST).read_bytes())
        files = {row["file"]: row["sha256"] for row in found["files"]}
        return {**files, **found.get("links", {})}
    except (OSError, ValueError, KeyError, TypeError):
        return None
