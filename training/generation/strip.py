"""The latents of a piece in a row, what is known of them at first, and the sound that comes of it.

Shapes: B pieces, C latent channels, T latent frames, F latent bands, S samples.
"""

from typing import Final, NamedTuple

import numpy as np
import torch

from pipelines.audio.decode import Wave
from pipelines.codecs import Codec
from pipelines.codecs.layout import for_codec
from schemas.codec import CodecFacts, WaveLevel
from training.errors import TrainingError

_FADE_S: Final = 0.06  # between a recording and what a codec made of it, or over a loop's seam
_SILENT: Final = 1e-4  # root mean square: nothing to bring to a level


class SoundAround(NamedTuple):
    """A recording at the codec's rate, parted where something new comes in: what is before it, and
    what is behind. Of a loop that is its own beginning, which is not written once more.
    """

    before: Wave
    after: Wave
    new: int  # latent frames of what comes in
    is_loop: bool = False

    @classmethod
    def nothing(cls, new: int) -> "SoundAround":
        """No recording: all is new."""
        silence = np.zeros(0, np.float32)
        return cls(silence, silence, new)

    def head_s(self, rate_hz: int) -> float:
        """How long what is before lasts."""
        return len(self.before) / rate_hz


class Strip(NamedTuple):
    """Latents in a row: known ones before, new ones, known ones behind."""

    latents_BCTF: torch.Tensor
    known_T: torch.Tensor
    around: SoundAround
    facts: CodecFacts
    before: int  # frames
    after: int

    @classmethod
    def of(
        cls,
        codec: Codec,
        around: SoundAround,
        most: int,
        pieces: int,
        device: torch.device,
    ) -> "Strip":
        """A strip of new frames with up to `most` known ones on each side; `device` is the codec's.

        Raises `TrainingError` for a recording that is shorter than a latent frame.
        """
        size = codec.facts.samples_per_frame
        before, after = (min(len(one) // size, most) for one in (around.before, around.after))
        if not before and len(around.before):
            raise TrainingError(
                f"{len(around.before) / codec.facts.rate_hz:.2f} s of recording are too short to "
                f"go on from: a latent of the codec is {1 / codec.facts.frames_per_s:g} s"
            )
        shape = (pieces, codec.facts.channels, before + around.new + after, codec.facts.bands)
        latents_BCTF, known_T = torch.zeros(shape), torch.zeros(shape[2], dtype=torch.bool)
        if before:
            latents_BCTF[:, :, :before] = _encoded(codec, around.before[-before * size :], device)
            known_T[:before] = True
        if after:
            latents_BCTF[:, :, -after:] = _encoded(codec, around.after[: after * size], device)
            known_T[-after:] = True
        return cls(latents_BCTF, known_T, around, codec.facts, before, after)

    @property
    def start_s(self) -> float:
        """Where in the piece it begins."""
        size = self.facts.samples_per_frame
        return (len(self.around.before) - self.before * size) / self.facts.rate_hz

    def at_s(self, frame: int) -> float:
        """When in the piece a frame begins."""
        return self.start_s + frame / self.facts.frames_per_s

    def sound(self, decoded: Wave) -> Wave:
        """The piece of a decoded strip: the recording as it is, with what is new in its place, and
        a short cross-fade at the known side of each join.
        """
        size, fade = self.facts.samples_per_frame, round(_FADE_S * self.facts.rate_hz)
        first, last = self.before * size, len(decoded) - self.after * size
        gain = self._gain(decoded, first, last)
        new = decoded[first:last] * gain
        parts = [new]
        if self.before:
            head = self.around.before
            joint = _faded(head[-fade:], decoded[first - fade : first] * gain)
            parts = [head[:-fade], joint, *parts]
        if self.after:
            tail = self.around.after
            joint = _faded(decoded[last : last + fade] * gain, tail[:fade])
            if self.around.is_loop:  # what is heard after the end is the beginning
                parts[0] = np.concatenate([joint, parts[0][fade:]])
            else:
                parts = [*parts, joint, tail[fade:]]
        return np.concatenate(parts).clip(-1, 1).astype(np.float32)

    def _gain(self, decoded: Wave, first: int, last: int) -> float:
        """What brings the sound of a codec that changes levels to the recording's."""
        if self.facts.level is WaveLevel.AS_IS:
            return 1.0
        pairs = []
        if self.before:
            pairs.append((decoded[:first], self.around.before[-first:]))
        if self.after:
            pairs.append((decoded[last:], self.around.after[: len(decoded) - last]))
        if not pairs:
            return 1.0
        made, real = (
            float(np.sqrt(np.mean(np.concatenate(one) ** 2))) for one in zip(*pairs, strict=True)
        )
        return real / made if made > _SILENT else 1.0


def _encoded(codec: Codec, wave: Wave, device: torch.device) -> torch.Tensor:
    with torch.no_grad():
        return codec.encode(for_codec([wave.astype(np.float32)]).to(device)).cpu()


def _faded(leaving: Wave, coming: Wave) -> Wave:
    """One sound into another, with as much power all along: their phases have nothing in common."""
    turn = np.linspace(0, np.pi / 2, len(leaving), dtype=np.float32)
    if leaving.ndim == 2:
        turn = turn[:, None]
    mixed: Wave = leaving * np.cos(turn) + coming * np.sin(turn)
    return mixed


def looped_sound(decoded: Wave, samples: int, rate_hz: int) -> Wave:
    """A loop of so many samples: what is decoded behind its end fades into its beginning, so that
    the end runs on into it.
    """
    fade = min(round(_FADE_S * rate_hz), len(decoded) - samples)
    seam = _faded(decoded[samples : samples + fade], decoded[:fade])
    return np.concatenate([seam, decoded[fade:samples]]).clip(-1, 1).astype(np.float32)
