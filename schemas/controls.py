"""Further controls of a sample: curves and figures that later models are steered by, measured on
the sample's own audio.
"""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Confidence, Record

CONTROL_RATE_HZ: Final = 10  # frames of 100 ms
DYNAMICS_FLOOR_DB: Final = -120.0
LOUDNESS_FLOOR_LUFS: Final = -70.0  # the absolute gate of ITU-R BS.1770: nothing below it counts
NO_PITCH: Final = 12  # after the pitch classes 0 (C) to 11 (B)

Decibels = Annotated[float, Field(ge=DYNAMICS_FLOOR_DB, le=0.0)]
MelodyClass = Annotated[int, Field(ge=0, le=NO_PITCH)]


class AudioControls(Record):
    """What a sample's audio does over time, in frames of 1 / `frame_rate_hz` s, and as a whole.

    Always measured on the audio that it belongs to, never moved from the original's. Both curves
    have one value per frame, the last for what is left of the audio.

    - `dynamics_db`: level (RMS) relative to full scale, smoothed over a second; -120 in silence.
      The dynamics control of Music ControlNet (Wu et al. 2023) and the intensity control of DITTO
      (Novack et al. 2024).
    - `melody`: the pitch class, 0 = C to 11 = B, that sounds most above middle C; 12 where nothing
      does. The melody control of Music ControlNet; as there, chords, drums and noise give a class
      too.
    - `loudness_lufs`: integrated loudness by EBU R128 (ITU-R BS.1770-4, gated); -70 for silence and
      for under 0.4 s. Mono counts as one channel: 3 LU less than the same sound from two.
    - `onsets_per_s`: how many notes or strokes begin per second.
    - `music_share`, `speech_share`, `noise_share`, `silence_share`: of the audio's time, 1 in sum.
      Noise is what is neither, such as hiss, wind and rain. Singing is meant to be music, but a
      voice that sings alone often passes for speech. Where several sound at once, all the share
      goes to one. Estimates by a small classifier: `pipelines.audio.speech` says how good.
    """

    frame_rate_hz: int = Field(default=CONTROL_RATE_HZ, gt=0)
    dynamics_db: tuple[Decibels, ...]
    melody: tuple[MelodyClass, ...]
    loudness_lufs: float = Field(ge=LOUDNESS_FLOOR_LUFS)
    onsets_per_s: float = Field(ge=0)
    music_share: Confidence
    speech_share: Confidence
    noise_share: Confidence
    silence_share: Confidence

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.dynamics_db) != len(self.melody):
            raise SchemaError(
                f"{len(self.dynamics_db)} frames of dynamics but {len(self.melody)} of melody"
            )
        total = self.music_share + self.speech_share + self.noise_share + self.silence_share
        if abs(total - 1) > 1e-6:
            raise SchemaError(
                f"shares of music, speech, noise and silence add up to {total:g}, not 1"
            )
        return self
