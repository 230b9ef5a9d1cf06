"""Options beside controls: what a piece goes on from or fills, its form, and how it is led."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.timed_controls.files import shown

_FILL: Final = re.compile(
    r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*[-–]\s*(\d{1,6}(?:\.\d{1,6})?)\s*(?:s\s*)?"
)
_FORM: Final = re.compile(r"[A-Za-z]{1,32}")
STEER_NAMES: Final = ("continue", "fill", "of", "loop", "form", "by")  # of a table's columns
_YES, _NO = frozenset(("yes", "true", "1")), frozenset(("", "no", "false", "0"))


class SteerWay(StrEnum):
    """How what is asked for is followed."""

    CONDITION = "condition"  # the net is told
    GUIDE = "guide"  # latents go down a gradient at each step
    OPTIMISE = "optimise"  # the noise that they begin as is moved


class SteerOptions(NamedTuple):
    """What is asked for beside controls; none where nothing is said."""

    going_on_from: str | None = None  # a recording
    fill: str | None = None  # seconds of the recording `of`
    of: str | None = None  # a recording: to be filled, or to be made a loop
    loop: bool = False
    form: str | None = None  # letters, or a recording
    by: SteerWay | None = None
    iterations: int | None = None  # of optimised noise, at most
    keep: str | None = None  # which codes of the recording `of` stay, of a model of codes

    @property
    def recording(self) -> str | None:
        """The recording beside which something is played."""
        return self.going_on_from or self.of

    @property
    def flag(self) -> str:
        """The option that names the recording."""
        return "--continue" if self.going_on_from else "--of"

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any]) -> "SteerOptions":
        """Options of a table's cells by the names of the options; empty ones say nothing.

        Raises `TrainingError` for what is none of their values.

        >>> SteerOptions.of_cells({"fill": "4-6", "of": "song.flac", "loop": ""}).fill
        '4-6'
        """
        written = {name: str(cells.get(name) or "").strip() for name in STEER_NAMES}
        loop = written["loop"].lower()
        if loop not in _NO and loop not in _YES:
            raise TrainingError(f"loop {shown(written['loop'])} is neither yes nor no")
        return steer_options(
            going_on_from=written["continue"] or None,
            fill=written["fill"] or None,
            of=written["of"] or None,
            loop=loop in _YES,
            form=written["form"] or None,
            by=written["by"] or None,
        )

    def over(self, others: "SteerOptions") -> "SteerOptions":
        """These options, and the others' where these say nothing."""
        said = {name: value for name, value in self._asdict().items() if value}
        return others._replace(**said)

    def checked(self) -> "SteerOptions":
        """The same. Raises `TrainingError` for options that do not go together."""
        if self.going_on_from and (self.of or self.loop or self.fill):
            raise TrainingError("--continue stands alone: leave --fill, --loop and --of out")
        if self.fill and not self.of:
            raise TrainingError(f"--fill {shown(self.fill)}: name the recording with --of")
        if self.fill and self.loop:
            raise TrainingError("--fill and --loop: ask for one of them")
        if self.keep and (not self.of or self.fill or self.loop):
            raise TrainingError(
                f"--keep {shown(self.keep)}: name the recording with --of, and leave --fill and "
                "--loop out"
            )
        if self.of and not (self.fill or self.loop or self.keep):
            raise TrainingError(
                "--of names a recording: say what of it with --fill, --loop or, of a model of "
                "codes, --keep"
            )
        return self


def steer_options(
    *,
    going_on_from: str | None = None,
    fill: str | None = None,
    of: str | None = None,
    loop: bool = False,
    form: str | None = None,
    by: str | None = None,
    iterations: int | None = None,
    keep: str | None = None,
) -> SteerOptions:
    """Options as somebody writes them.

    Raises `TrainingError` for a way that there is not, and for options that do not go together.

    >>> steer_options(by="force")
    Traceback (most recent call last):
    training.errors.TrainingError: --by 'force' is not a way: take condition, guide, optimise
    """
    ways = [str(one) for one in SteerWay]
    if by is not None and by not in ways:
        raise TrainingError(f"--by {shown(by)} is not a way: take {', '.join(ways)}")
    way = SteerWay(by) if by else None
    return SteerOptions(going_on_from, fill, of, loop, form, way, iterations, keep).checked()


def gap_of(text: str, duration_s: float) -> Span:
    """The part of a recording that is to be filled.

    Raises `TrainingError` for what is not one within it.

    >>> gap_of("4-6", 10)
    Span(start_s=4.0, end_s=6.0)
    """
    match = _FILL.fullmatch(text)
    if not match:
        raise TrainingError(f"--fill {shown(text)} is not a part: expected seconds such as '4-6'")
    found = Span(float(match[1]), float(match[2]))
    if not found.start_s < found.end_s <= duration_s + 0.01:
        raise TrainingError(
            f"--fill {shown(text)} is not a part of a recording of {duration_s:g} s"
        )
    return found._replace(end_s=min(found.end_s, duration_s))


def letters_of(text: str) -> str | None:
    """A form by letters, in capitals; none for what is not one.

    >>> letters_of("aba"), letters_of("A B A"), letters_of("song.flac")
    ('ABA', 'ABA', None)
    """
    plain = re.sub(r"[\s,-]+", "", text)
    return plain.upper() if _FORM.fullmatch(plain) else None
