"""Names of things: songs, clips, samples, splits, buckets; and random numbers keyed by a name."""

import hashlib
import re
from enum import StrEnum
from typing import Annotated, Final

import numpy as np
from pydantic import StringConstraints

from schemas.errors import SchemaError
from schemas.record import Record


def keyed_rng(seed: int, key: str, purpose: str) -> np.random.Generator:
    """A generator that depends on its arguments alone, so that workers and order change nothing.

    >>> one, other = keyed_rng(0, "a", "speed"), keyed_rng(0, "a", "speed")
    >>> int(one.integers(1000)) == int(other.integers(1000))
    True
    """
    return np.random.default_rng(stable_hash(seed, key, purpose))


SongId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
ClipKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}-\d+-\d+$")]
SampleKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9a-f]{16}-\d+-\d+-(orig|pd[1-9]\d*|pu[1-9]\d*|s[1-9]\d*|v[1-9]\d*|m[1-9]\d*)$"
    ),
]
_VARIANT: Final = re.compile(r"^(?:orig|(pd|pu|s|v|m)([1-9]\d*))$")
_BUCKET: Final = re.compile(r"^(train|validation|test)(?:-g(\d{4}))?-(\d{5})$")


class Split(StrEnum):
    """The three splits, from the loosest to the strictest."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class VariantKind(StrEnum):
    """What was changed in a variant."""

    ORIGINAL = "original"
    PITCH = "pitch"
    SPEED = "speed"
    VOLUME = "volume"
    MIX = "mix"  # another clip sounds with it


_KINDS: Final = {
    None: VariantKind.ORIGINAL,
    "pd": VariantKind.PITCH,
    "pu": VariantKind.PITCH,
    "s": VariantKind.SPEED,
    "v": VariantKind.VOLUME,
    "m": VariantKind.MIX,
}


def variant_kind(variant: str) -> VariantKind:
    """Kind of a variant's name: ``orig``, ``pd3`` … ``pu3``, ``s1`` …, ``v1``, ``m1``."""
    found = _VARIANT.fullmatch(variant)
    if not found:
        raise SchemaError(
            f"{variant!r} is not a variant: expected orig, pd1…, pu1…, s1…, v1… or m1…"
        )
    return _KINDS[found[1]]


def variant_semitones(variant: str) -> int:
    """Semitones that a variant's name shifts by: -3 for ``pd3``, 0 for any other kind.

    >>> [variant_semitones(v) for v in ("pd3", "orig", "pu1")]
    [-3, 0, 1]
    """
    found = _VARIANT.fullmatch(variant)
    if not found or found[1] not in ("pd", "pu"):
        return 0
    return int(found[2]) * (1 if found[1] == "pu" else -1)


def clip_key(song_id: str, start_s: float, length_s: float) -> str:
    """Key of a clip, in whole milliseconds.

    >>> clip_key("00112233445566aa", 10.0, 10.0)
    '00112233445566aa-10000-10000'
    """
    return f"{song_id}-{round(start_s * 1000)}-{round(length_s * 1000)}"


def sample_key(clip: str, variant: str) -> str:
    """Key of a sample: the clip's key and the variant."""
    variant_kind(variant)
    return f"{clip}-{variant}"


def stable_hash(*parts: str | int) -> int:
    """A 64-bit hash of text, the same on every machine and in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


class Bucket(Record):
    """The unit of work, of resume and of output: one shard of one split of one generation.

    >>> Bucket(split="train", number=7).name, Bucket.parse("test-g0002-00001").generation
    ('train-00007', 2)
    """

    split: Split
    number: int
    generation: int = 0

    @property
    def name(self) -> str:
        """``train-00007``; songs that came later have ``train-g0001-00007``."""
        generation = f"-g{self.generation:04d}" if self.generation else ""
        return f"{self.split}{generation}-{self.number:05d}"

    @classmethod
    def parse(cls, name: str) -> "Bucket":
        """The bucket of a name."""
        found = _BUCKET.fullmatch(name)
        if not found:
            raise SchemaError(f"{name!r} is not a bucket: expected split[-gNNNN]-NNNNN")
        return cls(split=Split(found[1]), generation=int(found[2] or 0), number=int(found[3]))
