"""Calibrations of a build: sealed files that `obbligato review --refit` fits to what people set
right, each by its name. The recipe's `review.calibration` chooses one.
"""

from collections.abc import Iterator

from pipelines.build.outputs import Job
from pipelines.build.tables import CALIBRATIONS
from pipelines.errors import Damaged, WrongArgument
from pipelines.storage.store import Store
from schemas.calibration import Calibration
from schemas.recipe import Recipe

_SUFFIX = ".json"


def calibration_file(name: str) -> str:
    """Where a calibration stands."""
    return f"{CALIBRATIONS}/{name}{_SUFFIX}"


def calibration_names(store: Store) -> list[str]:
    """Names of a build's calibrations."""
    names = store.names(CALIBRATIONS)
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]


def check_calibration(store: Store, recipe: Recipe) -> None:
    """Raise `WrongArgument` where a recipe names a calibration that the build has not, or a damaged
    one.
    """
    if recipe.review.calibration:
        _read(store, recipe.review.calibration)


def calibration_in_force(job: Job) -> Calibration | None:
    """The calibration that a build's recipe chooses, if it does."""
    name = job.recipe.review.calibration
    if job.calibration is not None or not name:
        return job.calibration
    return _read(job.store, name)


def add_calibration(store: Store, name: str, calibration: Calibration) -> None:
    """Add a calibration under a name of its own."""
    store.write_sealed(calibration_file(name), calibration.model_dump(mode="json"))


def damaged_calibrations(store: Store) -> Iterator[tuple[str, str]]:
    """Files of calibrations that are not what was written, each with what is wrong."""
    for name in calibration_names(store):
        try:
            _read(store, name)
        except Damaged as error:
            yield calibration_file(name), f"is not what was written ({error})"


def _read(store: Store, name: str) -> Calibration:
    try:
        return store.read_stated(calibration_file(name), Calibration)
    except FileNotFoundError as error:
        there = ", ".join(calibration_names(store)) or "none"
        raise WrongArgument(
            f"review.calibration: {store.url} has no calibration {name} (it has: {there}); "
            "`obbligato review --refit` fits one, and one of another build's calibrations/ may be "
            "copied there"
        ) from error
    except Damaged as error:
        raise Damaged(f"{error}; or put a copy of it back") from error
