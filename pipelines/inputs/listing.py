"""What a build is pointed at as sorted input rows: folders, globs, files, manifests, shards."""

import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from pipelines.errors import DeadInput, WrongArgument, machine_faults
from pipelines.inputs.manifests import MANIFESTS, manifest_rows
from pipelines.inputs.shards import shard_rows
from pipelines.storage.addresses import is_below, public_client
from pipelines.storage.remote import RemoteFile, located, remote_errors
from pipelines.storage.remote_folders import (
    SIGNS,
    Folders,
    RemoteFacts,
    facts_of,
    is_folder,
    leads_on,
    matching,
    walk,
)
from pipelines.storage.store import Store
from schemas.corpus import InputRow, Outcome, Source
from schemas.recipe import IngestRecipe, Recipe

AUDIO: Final = frozenset(
    f".{name}"  # of what the two decoders open
    for name in [
        *(
            "wav",
            "flac",
            "ogg",
            "oga",
            "opus",
            "mp3",
            "aif",
            "aiff",
            "aifc",
            "w64",
            "rf64",
            "caf",
            "au",
            "snd",
        ),
        *("m4a", "mp4", "aac", "wma", "wv", "ape", "tta", "mka", "webm"),
    ]
)
SHARD: Final = ".tar"
_LITTER: Final = "._"  # side files that macOS puts into archives
_FOLDERS: Final = Folders()


def list_inputs(sources: Sequence[str], recipe: IngestRecipe) -> Iterator[InputRow]:
    """One row per file, manifest row or shard member.

    What is not an input at all is a row too, ignored.

    Raises `PipelineError` where a source does not exist, and where a remote folder cannot be
    listed.
    """
    _FOLDERS.clear(_client(recipe))  # what an earlier listing saw may have changed since
    for source in sources:
        yield from _listed(source, recipe)


def _client(recipe: IngestRecipe) -> Any:
    return None if recipe.private_addresses else public_client


def _listed(source: str, recipe: IngestRecipe) -> Iterator[InputRow]:
    if "://" in source and not source.startswith("file://"):
        yield from _remote(source, recipe)
        return
    path = os.path.abspath(source.removeprefix("file://"))
    if os.path.isdir(path):
        for found in _walk(path):
            yield from _file(found, recipe, folder=path)
    elif os.path.lexists(path):
        yield from _file(path, recipe)
    else:
        matches: list[str] = []
        if any(sign in path for sign in SIGNS):
            matches = sorted(str(match) for match in Path("/").glob(path.lstrip("/")))
        if not matches:
            raise WrongArgument(
                f"{source} does not exist: name a folder, file, glob, manifest or URL"
            )
        for match in matches:
            yield from _listed(match, recipe) if os.path.isdir(match) else _file(match, recipe)


def _walk(folder: str) -> Iterator[str]:
    """Files below a folder; linked folders are not entered: a loop of links would trap the walk."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
    except PermissionError:
        yield f"{folder}/"
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        else:
            yield entry.path


def _file(path: str, recipe: IngestRecipe, *, folder: str = "") -> Iterator[InputRow]:
    """Rows of one local file, found in a folder or named by itself.

    A manifest counts as one only where it is named: in a folder it lies beside the audio. A link
    that leads out of the folder may be a stranger's, and lead anywhere.
    """
    name = os.path.basename(path)
    suffix = _suffix(name)
    if not name:
        yield _ended(path, Outcome.DEAD, "unreadable", "the folder may not be read")
        return
    uri = os.fsencode(path).decode("utf-8", "backslashreplace")
    if os.path.islink(path) and os.path.isdir(path):
        yield _ended(
            uri,
            Outcome.IGNORED,
            "linked_folder",
            "links to folders are not followed; name the folder itself",
        )
    elif name.startswith(_LITTER) or (
        suffix not in AUDIO and suffix != SHARD and (folder or suffix not in MANIFESTS)
    ):
        yield _ended(uri, Outcome.IGNORED, "not_audio", "no name of an audio file or shard")
    elif uri.encode() != os.fsencode(path):
        yield _ended(
            uri, Outcome.DEAD, "name_not_utf8", "the file's name is not UTF-8; rename it"
        ).replaced(row=f"{uri} (bytes escaped)")
    elif folder and not recipe.follow_links and _leads_out(path, folder):
        message = (
            "a link that leads out of the source folder; name its file, or set ingest.follow_links"
        )
        yield _ended(uri, Outcome.DEAD, "outside", message)
    else:
        yield from _opened(uri, path, suffix, recipe)


def _leads_out(path: str, folder: str) -> bool:
    """Whether a path is a link to something that lies elsewhere; one to nothing is not."""
    return os.path.islink(path) and os.path.exists(path) and not is_below(path, folder)


def _suffix(name: str) -> str:
    """The last dot and what follows it, also where a name starts with dots."""
    _, dot, last = name.rpartition(".")
    return f"{dot}{last}".lower() if dot else ""


def _opened(uri: str, path: str, suffix: str, recipe: IngestRecipe) -> Iterator[InputRow]:
    try:
        with machine_faults(f"listing {uri}"):
            status = os.stat(path)
        if suffix in AUDIO:
            yield _plain(uri, status.st_size, str(status.st_mtime_ns), recipe)
        elif not stat.S_ISREG(status.st_mode):
            yield _ended(
                uri,
                Outcome.DEAD,
                "not_a_file",
                "is a pipe, socket, device or folder, not a regular file",
            )
        else:
            with machine_faults(f"reading {uri}"), open(path, "rb") as opened:
                yield from _container(uri, opened, suffix, str(status.st_mtime_ns), recipe)
    except OSError as error:
        yield _ended(uri, Outcome.DEAD, "unreadable", f"cannot be opened: {error.strerror}")


def _container(
    uri: str, opened: IO[bytes], suffix: str, modified: str, recipe: IngestRecipe
) -> Iterator[InputRow]:
    """Rows of what a shard or manifest holds; one that cannot be read is one dead row."""
    try:
        rows = (
            shard_rows(uri, opened, modified, recipe)
            if suffix == SHARD
            else manifest_rows(uri, opened, recipe)
        )
        yield from (_stated(row, recipe) for row in rows)
    except DeadInput as error:
        yield _ended(uri, Outcome.DEAD, error.code, error.message)


def _stated(row: InputRow, recipe: IngestRecipe) -> InputRow:
    """A manifest's row with its file's size and time, so that a changed file is noticed."""
    uri = row.source.uri
    if row.outcome or row.source.member or ("://" in uri and not recipe.check_remote):
        return row
    try:
        with machine_faults(f"listing {uri}"):
            size, modified = _FOLDERS.facts(uri) if "://" in uri else _local_facts(uri)
    except DeadInput as error:
        return row.replaced(
            outcome=Outcome.DEAD, code=error.code, message=error.message, figure=error.figure
        )
    except (OSError, ValueError, KeyError):
        return row.replaced(
            outcome=Outcome.DEAD,
            code="not_found",
            message="the row's file does not exist or cannot be opened",
        )
    return row.model_copy(update={"size": size, "modified": modified})


def _local_facts(path: str) -> RemoteFacts:
    status = os.stat(path)
    return RemoteFacts(status.st_size, str(status.st_mtime_ns))


def _remote(source: str, recipe: IngestRecipe) -> Iterator[InputRow]:
    fs, path = located(source, client=_client(recipe))
    with remote_errors(source):
        if is_folder(fs, path):
            yield from _remote_below(fs, path, recipe)
            return
        matches: Iterator[Mapping[str, Any]]
        if fs.exists(path):
            matches = iter([{**fs.info(path), "name": path}])
        else:
            matches = matching(fs, path) if any(sign in path for sign in SIGNS) else iter(())
        found = False
        for info in matches:
            found = True
            yield from (
                _remote_below(fs, info["name"], recipe)
                if leads_on(info)
                else _remote_file(fs, info, recipe, named=True)
            )
        if not found:
            raise WrongArgument(
                f"{source} does not exist: name a folder, file, glob, manifest or URL"
            )


def _remote_below(fs: Any, path: str, recipe: IngestRecipe) -> Iterator[InputRow]:
    for info in walk(fs, path):
        if not leads_on(info):
            yield from _remote_file(fs, info, recipe, named=False)


def _remote_file(
    fs: Any, info: Mapping[str, Any], recipe: IngestRecipe, *, named: bool
) -> Iterator[InputRow]:
    name, facts = info["name"], facts_of(info)
    uri = fs.unstrip_protocol(name)
    suffix = _suffix(name)
    if "::" in uri:
        yield _ended(
            uri,
            Outcome.DEAD,
            "protocol",
            "its name holds ::, which would be read as a chain of file systems; rename it",
        )
    elif suffix in AUDIO:
        yield _plain(uri, facts.size, facts.modified, recipe)
    elif suffix == SHARD or (named and suffix in MANIFESTS):
        with io.BufferedReader(RemoteFile(fs.open(name, "rb"), uri)) as opened:
            yield from _container(uri, opened, suffix, facts.modified, recipe)
    else:
        yield _ended(uri, Outcome.IGNORED, "not_audio", "no name of an audio file or shard")


def _plain(uri: str, size: int, modified: str, recipe: IngestRecipe) -> InputRow:
    return InputRow(
        row=uri, source=Source(uri=uri, licence=recipe.licence), size=size, modified=modified
    )


def _ended(uri: str, outcome: Outcome, code: str, message: str) -> InputRow:
    return InputRow(row=uri, source=Source(uri=uri), outcome=outcome, code=code, message=message)


def list_sources(sources: Sequence[str], store: Store, recipe: Recipe) -> Iterator[InputRow]:
    """The inputs in all sources, without what lies in the build's own folder."""
    own = f"{store.root if store.is_local else store.fs.unstrip_protocol(store.root)}/"
    return (
        row for row in list_inputs(sources, recipe.ingest) if not row.source.uri.startswith(own)
    )
