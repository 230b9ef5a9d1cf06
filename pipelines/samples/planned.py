"""Which samples a clip is planned to give, before anything is filtered or fails."""

from schemas.corpus import Clip
from schemas.identity import Split
from schemas.recipe import VaryRecipe


def planned_variants(clip: Clip, recipe: VaryRecipe) -> tuple[str, ...]:
    """Names of a clip's samples: the original, and in train (or by recipe) the varied copies."""
    if clip.split is not Split.TRAIN and not recipe.all_splits:
        return ("orig",)
    return ("orig", *varied(recipe))


def varied(recipe: VaryRecipe) -> tuple[str, ...]:
    """Names of the varied copies: pitch down and up, speeds, volumes.

    >>> varied(VaryRecipe(semitones=(-1, 2), speeds=1, volumes=1))
    ('pd1', 'pu2', 's1', 'v1')
    """
    pitch = (f"p{'u' if step > 0 else 'd'}{abs(step)}" for step in recipe.semitones if step)
    speeds = (f"s{index + 1}" for index in range(recipe.speeds))
    volumes = (f"v{index + 1}" for index in range(recipe.volumes))
    return (*pitch, *speeds, *volumes)
