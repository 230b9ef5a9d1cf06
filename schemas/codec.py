"""What a codec's latents are, and its codes."""

from enum import StrEnum
from math import log2
from typing import Any

from pydantic import Field

from schemas.record import Record


class WaveLevel(StrEnum):
    """What a codec does to the level of waves before it encodes them."""

    AS_IS = "as is"
    # as the published reader of AudioLDM and TANGO does, clip by clip
    MEAN_OFF_PEAK_HALF = "mean off, peak 0.5"


class LatentLevels(Record):
    """Latents that are levels: louder by `unit_db` is higher by 1; below `floor` there is none."""

    unit_db: float = Field(gt=0)
    floor: float


class SpectrogramFacts(Record):
    """What a spectrogram is: levels of mel bands, of about zero mean and unit spread."""

    rate_hz: int = Field(gt=0, le=768_000)  # of the waves
    hop: int = Field(ge=1)  # samples from frame to frame
    window: int = Field(ge=1)  # samples of a frame
    bands: int = Field(ge=1)
    low_hz: float = Field(ge=0)  # where the lowest band begins
    high_hz: float = Field(gt=0)  # and the highest ends
    floor_db: float  # of a sine at full scale; nothing is lower
    centre_db: float  # what is 0
    spread_db: float = Field(gt=0)  # what is 1 more


class CodecFacts(Record):
    """What there is to know of a codec without running it; goes into provenance beside its latents.

    >>> shape = dict(rate_hz=16000, channels=8, bands=16, samples_per_frame=640)
    >>> facts = CodecFacts(name="x", version="1", licence="CC0", **shape)
    >>> facts.frames_per_s, facts.frames(163_840), facts.frames(1)
    (25.0, 256, 1)
    >>> facts.has_latents_of(facts.replaced(levels=LatentLevels(unit_db=15, floor=-2)))
    True
    >>> facts.has_latents_of(facts.replaced(version="2"))
    False
    """

    name: str
    version: str  # whatever the latents depend on: of our code, of weights
    licence: str  # of the weights; what is decoded with them is under it too
    rate_hz: int = Field(gt=0, le=768_000)  # of the waves
    channels: int = Field(ge=1, le=65_536)
    bands: int = Field(ge=1, le=65_536)
    samples_per_frame: int = Field(ge=1, le=1 << 20)
    wave_channels: int = Field(1, ge=1, le=2)  # of the waves: mono, or left and right
    # of the waves that latents stand for; the codec sees to it itself when it encodes
    level: WaveLevel = WaveLevel.AS_IS
    levels: LatentLevels | None = None  # none: a change of level is no sum of latents

    @property
    def identity(self) -> dict[str, Any]:
        """What latents depend on, as JSON has it: all but how they may be read."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"levels"})

    def has_latents_of(self, other: "CodecFacts") -> bool:
        """Whether latents of both are the same, however much is known of how they may be read."""
        return self.identity == other.identity

    @property
    def is_stereo(self) -> bool:
        """Whether its waves have two channels."""
        return self.wave_channels == 2

    @property
    def channel_name(self) -> str:
        """Mono or stereo, in words."""
        return "stereo" if self.is_stereo else "mono"

    @property
    def frames_per_s(self) -> float:
        """Latent frames a second."""
        return self.rate_hz / self.samples_per_frame

    def frames(self, samples: int) -> int:
        """Latent frames of so many samples, the last one filled with silence."""
        return -(-samples // self.samples_per_frame)


class CodeFacts(Record):
    """What there is to know of codes: numbers of codebook entries, of each book one a frame.

    >>> facts = CodeFacts(
    ...     codec="dac", version="1", licence="MIT", books=9, entries=1024, frames_per_s=86.13
    ... )
    >>> facts.bits_per_s
    7751.7
    """

    codec: str
    version: str  # whatever the codes depend on, as `CodecFacts.version`
    licence: str  # of the weights; what is decoded with them is under it too
    books: int = Field(ge=1, le=64)  # the coarse one first; each rounds what is left
    entries: int = Field(ge=2, le=65_536)  # of each book: a code is 0 to one less
    frames_per_s: float = Field(gt=0)

    @property
    def bits_per_s(self) -> float:
        """What the codes of a second take, were they packed."""
        return round(self.books * log2(self.entries) * self.frames_per_s, 1)
