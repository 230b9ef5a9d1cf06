"""Songs and clips: what ingest finds and every later stage refers to."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.caption import Caption
from schemas.controls import AudioControls
from schemas.errors import SchemaError
from schemas.identity import ClipKey, SampleKey, SongId, Split
from schemas.labels import Labels
from schemas.record import PositiveSeconds, Record, Seconds


class Source(Record):
    """Where a clip comes from, with what the source says of it; empty where it says nothing."""

    uri: str
    member: str = ""  # the name inside, where `uri` is a shard
    member_offset: int = 0  # and where its bytes stand there
    member_bytes: int = 0
    licence: str = ""
    title: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""
    metadata: str = "{}"  # every other column, as one JSON object


class Song(Record):
    """A file of audio by its content."""

    song_id: SongId
    rate_hz: int = Field(gt=0)
    channels: int = Field(gt=0)
    duration_s: PositiveSeconds


class Clip(Record):
    """A window of a song, the captions that came with it, its split and group.

    `extended_end_s` is how far annotation and sped-up variants may reach past `end_s`.
    """

    clip_key: ClipKey
    song: Song
    source: Source
    start_s: Seconds
    end_s: PositiveSeconds
    extended_end_s: PositiveSeconds
    split: Split
    group: str
    captions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.start_s < self.end_s <= self.extended_end_s + 1e-6:
            raise SchemaError(
                f"clip {self.clip_key}: start {self.start_s} s, end {self.end_s} s, extended end "
                f"{self.extended_end_s} s must ascend"
            )
        return self

    @property
    def length_s(self) -> float:
        """Length of the clip itself."""
        return round(self.end_s - self.start_s, 6)


class Outcome(StrEnum):
    """What became of an input or a sample."""

    USED = "used"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    DEAD = "dead"
    IGNORED = "ignored"
    WRITTEN = "written"


class InputRow(Record):
    """One input as listed: a file, a manifest's row or a shard's sample.

    An outcome here was decided without opening it.
    """

    place: int = 0  # in the listing: earlier ones came first, and keep theirs
    row: str  # what the reader knows it by: the file, or the manifest and its line
    source: Source
    size: int = 0
    modified: str = ""  # time or tag, only to notice that a file has changed
    start_s: float | None = None
    end_s: float | None = None
    captions: tuple[str, ...] = ()
    split: Split | None = None
    outcome: Outcome | None = None
    code: str = ""
    message: str = ""
    figure: str = ""


class Probed(Record):
    """What probing an input gave: a song, or why it is dead."""

    place: int
    song: Song | None = None
    code: str = ""
    message: str = ""
    figure: str = ""


class CandidateClip(Record):
    """A clip as one input gives it: equal ones are not merged yet, its split not decided (`stated`
    is what its table says).
    """

    place: int  # of the input
    stated: Split | None
    clip: Clip


class Assigned(Record):
    """Where a song was put when it first came: it never moves again."""

    song_id: SongId
    group: str
    split: Split
    bucket: str


class Change(Record):
    """What a variant did to its clip. The neutral values describe the original."""

    variant: str = "orig"
    semitones: int = 0
    speed: float = Field(default=1.0, gt=0)
    gain_start: float = Field(default=1.0, gt=0, le=1.0)  # amplitude factor at the variant's start
    gain_end: float = Field(default=1.0, gt=0, le=1.0)  # and at its end; straight between


class Guest(Record):
    """The clip that sounds with its host in a mix, and what was done to it to fit.

    What is at second `t` of the clip is heard at ``offset_s + t / speed`` of the mix. `share` is
    its part of the amplitude, both clips being as loud as the host before.
    """

    clip_key: ClipKey
    source: Source
    start_s: Seconds  # of the clip in its source
    end_s: PositiveSeconds
    speed: float = Field(gt=0)
    semitones: int
    offset_s: float
    share: float = Field(gt=0, lt=1)


class Dead(Record):
    """A clip or sample that a stage could not do."""

    key: str
    code: str
    message: str
    figure: str = ""


class Verdict(Record):
    """What the filter decided on a clip: the first rule that it broke, the figure, the outcome."""

    clip_key: ClipKey
    keep: bool
    vary: bool
    rule: str = ""
    figure: str = ""


class AudioCopy(Record):
    """The same audio at another rate, and where its FLAC stands in the bucket's tar of variants."""

    rate_hz: int = Field(gt=0)
    offset: int
    bytes: int


class Augmented(Record):
    """One sample's audio: the change made, its length, its controls, and where its FLAC stands in
    the bucket's tar of variants.
    """

    sample_key: SampleKey
    clip_key: ClipKey
    change: Change
    duration_s: PositiveSeconds
    controls: AudioControls
    offset: int
    bytes: int
    copies: tuple[AudioCopy, ...] = ()


class Mixed(Augmented):
    """One mix: its audio, what sounds with the host's clip, and the labels of both together."""

    guest: Guest
    labels: Labels


class RefusedMix(Record):
    """A sample that was planned and not made: the rule that its clip broke, and the figure."""

    sample_key: SampleKey
    rule: str
    figure: str


class Encoded(Record):
    """Where one sample's latents or codes stand, as a NumPy file, in the bucket's tar of them."""

    sample_key: SampleKey
    offset: int
    bytes: int


class SampleCaptions(Record):
    """A sample's captions."""

    sample_key: SampleKey
    captions: tuple[Caption, ...]


class Unit(StrEnum):
    """What a ledger row counts."""

    INPUT = "input"
    SAMPLE = "sample"
    # what a language model did not reword, or an embedder did not embed: its samples go on without
    TEXT = "text"


class LedgerRow(Record):
    """One input or sample that did not simply go through, or an input that did.

    A rejection names its rule and the figure that broke it; a death its stage and error code.
    """

    unit: Unit
    key: str  # an input's row in the listing, or a sample's key
    uri: str
    stage: str
    outcome: Outcome
    code: str = ""  # rule or error code
    figure: str = ""  # what was measured, beside what was allowed
    message: str = ""  # what to do
    clips: int = 0  # how many clips an input gave


class ForgottenSong(Record):
    """A song that was taken out for good: when (UTC), by whom, why, and the inputs that gave it."""

    when: str
    who: str
    reason: str = ""
    inputs: tuple[str, ...] = ()


class Forgotten(Record):
    """Songs that do not come back, by their ids."""

    songs: dict[SongId, ForgottenSong] = Field({})


class CutInput(Record):
    """What cutting made of an input. Whether its clips were there before is not known yet."""

    place: int
    ledger: LedgerRow
