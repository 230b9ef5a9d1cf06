"""The head of an exported model's card, which a hub reads: licence, what it began as, datasets."""

import re
from collections.abc import Sequence
from typing import Final

from huggingface_hub import ModelCardData

from training.errors import TrainingError
from training.published.exporting import ExportedModel
from training.run.run_state import Parent

_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_UNKNOWN: Final = "unknown"
_TASK: Final = "text-to-audio"


def front_matter(exported: ExportedModel, licence: str = "") -> str:
    """The head, between its dashes.

    The licence is that of the weights that the model began as, which training does not change;
    `licence` is the model's own where it began as nothing of others. Raises `TrainingError` where
    the two differ.
    """
    chosen, model = licence_of(exported.parents, licence), exported.recipe.model
    data = ModelCardData(
        license=_slug(chosen) if chosen else None,
        license_name=chosen if chosen and not _slug_is(chosen) else None,
        base_model=[one.address for one in exported.parents if _HUB_ID.fullmatch(one.address)]
        or None,
        datasets=[one.name for one in exported.survey.datasets if one.name] or None,
        pipeline_tag=_TASK,
        library_name="diffusers",
        tags=["music", "obbligato", *map(str, (*model.controls, *model.rows))],
    )
    return f"---\n{data.to_yaml()}\n---\n"


def licence_of(parents: Sequence[Parent], own: str = "") -> str:
    """The licence of a model's weights; empty where nobody states one.

    >>> tango = Parent(name="tango", address="x", sha256="", licence="cc-by-nc-sa-4.0")
    >>> licence_of([tango]), licence_of([], "cc-by-4.0"), licence_of([])
    ('cc-by-nc-sa-4.0', 'cc-by-4.0', '')
    """
    stated = sorted({one.licence for one in parents if one.licence})
    if own and stated and stated != [own]:
        raise TrainingError(
            f"the weights began as others' under {', '.join(stated)}, which is not yours to make "
            f"{own}: leave the licence out"
        )
    return " and ".join(stated) or own


def _slug_is(licence: str) -> bool:
    return bool(_SLUG.fullmatch(licence.lower())) and licence != _UNKNOWN


def _slug(licence: str) -> str:
    """As a hub writes licences that it knows; other for all else."""
    return licence.lower() if _slug_is(licence) else "other"
