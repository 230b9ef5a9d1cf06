"""The sample contract: what stands in the JSON beside each audio file of a shard."""

from typing import Any, Final

from pydantic import SerializerFunctionWrapHandler, model_serializer

from schemas.caption import Caption
from schemas.controls import AudioControls
from schemas.corpus import Change, Guest, Source
from schemas.identity import ClipKey, SampleKey, SongId, Split
from schemas.labels import Beats, Chords, KeyLabel, Labels, Meter, Tempo
from schemas.pseudo_label import PseudoLabel
from schemas.record import PositiveSeconds, Record, Seconds
from schemas.shape import features_of

SCHEMA_VERSION: Final = (
    6  # 6: facts have fields of their own, where they had one text; the form before is read too
)


class Sample(Record):
    """One training sample. Every field is always present, in a fact every field of its kind.

    Unknown metadata is one JSON string. Only a mix has a `guest`: where there is none, the key is
    left out, as in shards from before there were mixes.
    """

    schema_version: int = SCHEMA_VERSION
    key: SampleKey
    song_id: SongId
    clip_key: ClipKey
    split: Split
    change: Change
    source: Source
    start_s: Seconds  # of the clip in its source
    end_s: PositiveSeconds
    duration_s: PositiveSeconds  # of this sample's audio
    rate_hz: int
    channels: int
    beats: Beats
    meter: Meter
    tempo: Tempo
    chords: Chords
    key_label: KeyLabel
    controls: AudioControls  # measured on this sample's audio
    captions: tuple[Caption, ...]
    pseudo_labels: tuple[PseudoLabel, ...] = ()
    # length of the whole source; none in shards from before schema version 5
    song_s: PositiveSeconds | None = None
    anchor: bool = False  # whether its source is curated, as `pack.anchor_column` says
    guest: Guest | None = None  # what sounds with `source` in a mix, and under which licence

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if self.guest is None:
            del written["guest"]
        return written

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where its audio comes from: one source, or the two of a mix, the host's first."""
        return (self.source,) if self.guest is None else (self.source, self.guest.source)

    @property
    def labels(self) -> Labels:
        """All labels of this sample's audio."""
        return Labels(
            duration_s=self.duration_s,
            beats=self.beats,
            meter=self.meter,
            tempo=self.tempo,
            chords=self.chords,
            key=self.key_label,
        )


def sample_features() -> dict[str, object]:
    """Features of our shards for ``datasets.Features.from_dict``, so that no type is guessed.

    >>> sample_features()["flac"]["_type"]
    'Audio'
    """
    return {
        "__key__": {"dtype": "string", "_type": "Value"},
        "__url__": {"dtype": "string", "_type": "Value"},
        "flac": {"_type": "Audio"},
        "json": features_of(Sample),
    }


def audio_name(key: str, lower_hz: int = 0) -> str:
    """Name of a sample's audio in a shard, or of its copy at a lower rate.

    >>> audio_name("k"), audio_name("k", 16_000), audio_name("k", 22_050)
    ('k.flac', 'k.16k.flac', 'k.22050hz.flac')
    """
    if not lower_hz:
        return f"{key}.flac"
    return f"{key}.{lower_hz}hz.flac" if lower_hz % 1000 else f"{key}.{lower_hz // 1000}k.flac"
