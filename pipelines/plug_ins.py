"""Doors: how what a recipe names is found, whether it is ours or a package's of somebody else.

A name is one of our own; or one that an installed package offers as an entry point of the door's
group; or, where it has a dot, a module. Ours come first: no package takes their names over.
plug-ins.md, beside this file, shows a package for each door.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, TypeVar

from pipelines.errors import PipelineError, WrongArgument, is_of_the_machine
from pipelines.extras import naming_extras

Offer_co = TypeVar("Offer_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Door(Generic[Offer_co]):
    """A kind of part that packages may add, such as codecs.

    An offer is a module, or any object with the same functions.

    >>> door = Door[object](kind="parser", group="x", built_in={"json": "json"}, needs=("loads",))
    >>> door.offer("json").__name__, door.is_built_in("json"), door.package("json")
    ('json', True, '')
    """

    kind: str  # as messages call it: codec
    group: str  # of entry points: obbligato.codecs
    built_in: Mapping[str, str]  # our own names, and the module of each
    needs: tuple[str, ...]  # functions and classes that an offer must have
    extra: str = ""  # of the installation, that brings what our own ones import

    def is_built_in(self, name: str) -> bool:
        """Whether a name is one of ours. All others run code of somebody else."""
        return name in self.built_in

    def offer(self, name: str) -> Offer_co:
        """What stands behind a name, imported.

        Raises `PipelineError` where nothing does, where two packages claim the name, and where what
        does cannot be imported or lacks a function; `MissingExtra` where that takes a package which
        is not installed.
        """
        point = self._point(name)
        try:
            with naming_extras(self.extra):
                offered: Offer_co = point.load()
        except Exception as error:  # a module may raise anything
            if isinstance(error, MemoryError | PipelineError) or is_of_the_machine(error):
                raise
            raise PipelineError(
                f"{self._described(point)} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        for needed in self.needs:
            if not callable(getattr(offered, needed, None)):
                raise PipelineError(
                    f"{self._described(point)} has no {needed}: pipelines/plug-ins.md shows what a "
                    "plug-in offers"
                )
        return offered

    def names(self) -> list[str]:
        """Names that stand for something here: ours, then those of packages."""
        others = {point.name for point in entry_points(group=self.group)}
        return [*sorted(self.built_in), *sorted(others - {*self.built_in})]

    def check(self, name: str) -> None:
        """Raise `PipelineError` for a name that nothing stands behind.

        Nothing is imported but, of a dotted name, the packages above it.
        """
        self._point(name)

    def package(self, name: str) -> str:
        """Distribution and version behind a plug-in, such as ``obbligato-flute 0.1``.

        Empty for ours, whose versions are stated one by one, and for modules, whose version nobody
        knows.
        """
        return "" if "." in name else _package(self._point(name))

    def _point(self, name: str) -> EntryPoint:
        if name in self.built_in:
            return EntryPoint(name, self.built_in[name], self.group)
        if "." in name:
            if not _is_module(name):
                raise self._unknown(name)
            return EntryPoint(name, name, self.group)
        found = list(entry_points(group=self.group, name=name))
        if not found:
            raise self._unknown(name)
        if len(found) > 1:
            raise PipelineError(
                f"{self.kind} {name!r} is offered more than once, by "
                f"{' and '.join(sorted(map(_package, found)))}: uninstall all but one"
            )
        return found[0]

    def _unknown(self, name: str) -> WrongArgument:
        """The error that lists what is there."""
        known = sorted(self.built_in)
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            if point.name not in self.built_in:
                known.append(f"{point.name} (of {_package(point)})")
        hint = "; a folder of weights is told beside the name" if Path(name).is_dir() else ""
        return WrongArgument(
            f"no {self.kind} called {name!r}: expected {', '.join(known)}, a module's dotted name, "
            f"or a package that offers it as an entry point of {self.group}{hint}"
        )

    def _described(self, point: EntryPoint) -> str:
        package = _package(point)
        return f"{self.kind} {point.name!r}" + (f" of {package}" if package else "")


def stated(version: str, package: str) -> str:
    """A part's own version with that of the package it came in, for whoever decides what is stale.

    >>> stated("1a2b", "obbligato-flute 0.1"), stated("1a2b", "")
    ('1a2b (obbligato-flute 0.1)', '1a2b')
    """
    return f"{version} ({package})" if package else version


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
