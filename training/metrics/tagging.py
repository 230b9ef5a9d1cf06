"""What a classifier finds in clips, and how far two sets or the clips of a pair differ in it.

Shapes: N clips, C classes, D dimensions.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
# embeddings of clips to class probabilities: (N, D) to (N, C), rows that add up to 1
Classifier = Callable[[Vectors], Array]
_LEAST: Final = 1e-8  # a class that a model calls impossible is not infinitely far
# what similarities are multiplied with before the softmax: CLIP's temperature (Radford et al.,
# 2021)
_SHARPNESS: Final = 1 / 0.07
# Instruments, voices and genres that tag sets of music agree on, such as MagnaTagATune's fifty.
CLASSES: Final = (
    "acoustic guitar",
    "electric guitar",
    "bass guitar",
    "piano",
    "synthesizer",
    "strings",
    "violin",
    "cello",
    "harp",
    "harpsichord",
    "flute",
    "saxophone",
    "brass",
    "drums",
    "percussion",
    "sitar",
    "male singer",
    "female singer",
    "choir",
    "rap",
    "classical",
    "jazz",
    "blues",
    "rock",
    "metal",
    "pop",
    "folk",
    "country",
    "electronic",
    "techno",
    "ambient",
    "hip hop",
    "reggae",
)


# names that are near enough for one to be heard: a fifth of MagnaTagATune's clips have more tags
_NEAREST: Final = 5


CONCEPTS_BY_CHANCE: Final = _NEAREST / len(CLASSES)


def named_concepts(caption: str) -> tuple[int, ...]:
    """Which of the names a caption asks for, as words of their own.

    >>> [CLASSES[index] for index in named_concepts("Slow jazz, a soft piano; no drumset")]
    ['piano', 'jazz']
    """
    text = caption.lower()
    return tuple(
        index for index, name in enumerate(CLASSES) if re.search(rf"\b{re.escape(name)}\b", text)
    )


def concept_coverage(similarities_C: npt.ArrayLike, named: Sequence[int]) -> float:
    """Share of the names asked for that are among the five nearest to a clip; chance is 5 of 33.

    >>> concept_coverage([0.9, 0.1, *[0.5] * 31], [0, 1])
    0.5
    """
    nearest = set(np.argsort(-np.asarray(similarities_C), kind="stable")[:_NEAREST].tolist())
    return sum(index in nearest for index in named) / len(named)


def kl_divergence(p_C: npt.ArrayLike, q_C: npt.ArrayLike) -> float:
    """Kullback-Leibler divergence Σ p ln (p / q) in nats; zeros are raised to 1e-8.

    >>> kl_divergence([0.5, 0.5], [0.5, 0.5]), round(kl_divergence([1.0, 0.0], [0.5, 0.5]), 4)
    (0.0, 0.6931)
    """
    p, q = (np.maximum(np.asarray(row, np.float64), _LEAST) for row in (p_C, q_C))
    p, q = p / p.sum(), q / q.sum()
    return max(0.0, float(np.sum(p * np.log(p / q))))


def mean_distribution(probabilities_NC: npt.ArrayLike) -> Array:
    """The mean class distribution of a set of clips."""
    mean: Array = np.asarray(probabilities_NC, np.float64).mean(axis=0)
    return mean


def pair_divergences(reference_NC: npt.ArrayLike, made_NC: npt.ArrayLike) -> list[float]:
    """KL of each reference clip from the clip made for its caption, as AudioLDM's evaluation pairs
    them (Liu et al., ICML 2023).
    """
    rows = zip(np.asarray(reference_NC), np.asarray(made_NC), strict=True)
    return [kl_divergence(p, q) for p, q in rows]


def zero_shot(class_vectors_CD: npt.ArrayLike) -> Classifier:
    """A classifier made of a joint space: how near a clip is to each class's text, by softmax."""
    texts = np.asarray(class_vectors_CD, np.float64)

    def classify(vectors_ND: Vectors) -> Array:
        similarities = _SHARPNESS * np.asarray(vectors_ND, np.float64) @ texts.T
        raised = np.exp(similarities - similarities.max(axis=1, keepdims=True))
        rows: Array = raised / raised.sum(axis=1, keepdims=True)
        return rows

    return classify


def cosines(texts_ND: npt.ArrayLike, sounds_ND: npt.ArrayLike) -> list[float]:
    """Cosine of each text with its sound, of unit vectors: of CLAP's, their mean is the CLAP
    score.
    """
    products: Sequence[float] = np.einsum(
        "nd,nd->n", np.asarray(texts_ND, np.float64), np.asarray(sounds_ND, np.float64)
    ).tolist()
    return list(products)
