"""What a worker's child does for matches: it holds the vocabularies' vectors, mapped from files,
and finds each clip's nearest texts.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.embedders import Vectors
from schemas.label_recipe import LabelRecipe, Search

_SPARE: Final = 2  # times as many are looked at where near copies of each other are left out
# queries of a call that are searched exactly as well, to know what an approximate search misses
_CHECKED: Final = 1


class VectorSpace(NamedTuple):
    """A vocabulary's vectors: files of slices, in order; a file of inverted lists ("" for none); a
    mark of what they hold.
    """

    files: tuple[str, ...]
    lists: str
    mark: str


class SearchRequest(NamedTuple):
    """What the child is given beside the clips' vectors."""

    spaces: tuple[VectorSpace, ...]
    recipe: LabelRecipe


class NearText(NamedTuple):
    """A text of a vocabulary, by its row there, and its cosine similarity to the clip."""

    row: int
    similarity: float


class NearestTexts(NamedTuple):
    """A clip's candidates of each vocabulary, the nearest first.

    Of an approximate search, how many of the exact ones it found.

    `checked` is how many exact ones were looked for: none where the search was exact, or this clip
    was not looked at twice.
    """

    near: tuple[tuple[NearText, ...], ...]
    checked: int = 0
    missed: int = 0


def match(vectors: Sequence[Vectors], request: SearchRequest) -> list[NearestTexts]:
    """Candidates of each clip in each vocabulary."""
    queries = np.stack(list(vectors))
    by_space = [_of_space(queries, space, request.recipe) for space in request.spaces]
    checks = np.sum([lost for _, lost in by_space], axis=0).tolist()
    results: list[NearestTexts] = []
    for clip in range(len(queries)):
        near = tuple(found[clip] for found, _ in by_space)
        results.append(NearestTexts(near, *(checks if clip == 0 else (0, 0))))
    return results


def _of_space(
    queries: Vectors, space: VectorSpace, recipe: LabelRecipe
) -> tuple[list[tuple[NearText, ...]], tuple[int, int]]:
    """Candidates of each clip, and of the clips that were searched twice the texts looked for and
    those missed.
    """
    # late: torch loads for a second, and whoever drives the work does without
    from pipelines.search import exact as retrieval

    count = recipe.nearest * (_SPARE if recipe.max_similarity < 1 else 1)
    blocks = _blocks(space)
    if recipe.search is Search.EXACT:
        nearest, lost = (
            retrieval.nearest(queries, _held(space, recipe.device), count, device=recipe.device),
            (0, 0),
        )
    else:
        from pipelines.search.inverted_lists import search_index

        nearest = search_index(Path(space.lists), queries, count, recipe.probes)
        exact = retrieval.nearest(queries[:_CHECKED], blocks, recipe.nearest)
        lost = (
            exact.ids_QK.size,
            len(
                set(exact.ids_QK.ravel().tolist()) - set(nearest.ids_QK[:_CHECKED].ravel().tolist())
            ),
        )
    return [
        _distinct(ids, scores, blocks, recipe)
        for ids, scores in zip(nearest.ids_QK, nearest.scores_QK, strict=True)
    ], lost


def _distinct(
    ids: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    blocks: Sequence[Any],
    recipe: LabelRecipe,
) -> tuple[NearText, ...]:
    """The nearest texts, similar enough to the clip and not too similar to a nearer one."""
    vectors = np.stack([_row(blocks, row) for row in ids.tolist()]).astype(np.float32)
    alike = (
        vectors @ vectors.T >= recipe.max_similarity
        if recipe.max_similarity < 1
        else np.zeros((len(ids), len(ids)), bool)
    )
    kept: list[int] = []
    for index, score in enumerate(scores.tolist()):
        is_zero = not vectors[index].any()
        if score >= recipe.min_similarity and not is_zero and not alike[index, kept].any():
            kept.append(index)
    return tuple(
        NearText(int(ids[index]), round(float(scores[index]), 4))
        for index in kept[: recipe.nearest]
    )


@lru_cache(maxsize=8)
def _blocks(space: VectorSpace) -> tuple[Any, ...]:
    """Vectors of a vocabulary's slices, mapped into memory."""
    return tuple(np.load(file, mmap_mode="r") for file in space.files)


@lru_cache(maxsize=8)
def _held(space: VectorSpace, device: str) -> Sequence[Any]:
    """The same where they are searched: on a GPU they stay on the device from call to call."""
    if device == "cpu":
        return _blocks(space)
    import torch

    return [torch.from_numpy(np.array(block)).to(device) for block in _blocks(space)]


def _row(blocks: Sequence[Any], row: int) -> Any:
    for block in blocks:
        if row < len(block):
            return block[row]
        row -= len(block)
    raise IndexError(row)
