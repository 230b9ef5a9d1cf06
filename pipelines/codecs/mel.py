"""The embedded codec: a log-mel spectrogram, folded into a small grid; back by Griffin-Lim, or by a
vocoder of one's own (vocoder.py).

No weights, no download.

What it keeps is what our annotators need: on 10 s excerpts of eight composed pieces they hear the
same beats and keys after a round trip, and the same chords for 99.9 % of the time. Few bands would
not do: from the 64 of AudioLDM's spectrogram, played back in the same way, it is 41 %.

Shapes: B clips, S samples, N mel frames, M mel bands, K frequency bins, C = 4 × 16 latent channels,
T latent frames, F latent bands.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch.nn.functional import avg_pool1d, pad

from pipelines.codecs import CodecFacts
from pipelines.errors import PipelineError
from schemas.codec import LatentLevels, SpectrogramFacts

RATE_HZ: Final = 16_000
HOP: Final = 500  # 31 ms: a beat's hit is counted within 70 ms (MIREX, mir_eval)
# 62 ms: of 1000 to 2000 samples, the length whose sines come back nearest their pitch
_WINDOW: Final = 1000
_TRANSFORM: Final = 2500  # padded to this: bins of 6 Hz, four in the narrowest band
BANDS: Final = 128
_LOW_HZ, _HIGH_HZ = 30.0, 8000.0
# into channels: a latent frame is 125 ms, and ten seconds are a grid of 80 × 8
_FRAMES_FOLDED, _BANDS_FOLDED = (4, 16)
_FULL_SCALE: Final = _WINDOW / 4  # a sine of amplitude 1 under a Hann window
# relative to that; below, real recordings have noise and rendered ones nothing
_FLOOR_DB: Final = -80.0
# Mean and spread of 20 real recordings and 8 composed pieces, each about -50 and 10 to 18 dB,
# rounded.
_CENTRE_DB, _SPREAD_DB = -50.0, 15.0
_CEILING_DB: Final = 6.0  # two sines in a band: above it, a model exaggerates
# of the spectrum under a mel spectrogram: 100 make our annotators hardly surer
_UPDATES: Final = 30
# of Griffin-Lim: from the first phases below, more make our annotators no surer
_ROUNDS: Final = 16
# half the width of a partial's peak: two bins of a transform of the window's own length
_PARTIAL_BINS: Final = 5
_MOMENTUM: Final = 0.99  # Perraudin et al. 2013
_TINY: Final = 1e-8
# what latents are levels of; to play them it is all that a vocoder has to know
SPECTROGRAM: Final = SpectrogramFacts(
    rate_hz=RATE_HZ,
    hop=HOP,
    window=_WINDOW,
    bands=BANDS,
    low_hz=_LOW_HZ,
    high_hz=_HIGH_HZ,
    floor_db=_FLOOR_DB,
    centre_db=_CENTRE_DB,
    spread_db=_SPREAD_DB,
)

Play = Callable[[torch.Tensor], torch.Tensor]  # levels (B, M, N) to waves (B, S)


class MelCodec:
    """Log-mel latents. Runs on the device of what it is given.

    Who plays them is no matter of what they are: facts are the same with any vocoder.
    """

    def __init__(self, vocoder: Play | None = None) -> None:
        self._vocoder = vocoder

    def played_by(self, vocoder: Play) -> "MelCodec":
        """The same latents, played by a vocoder."""
        return MelCodec(vocoder)

    @property
    def facts(self) -> CodecFacts:
        """16 kHz; 64 channels × 8 bands at 8 frames a second."""
        return CodecFacts(
            name="mel",
            version="1",  # raised when latents change
            licence="CC0-1.0",  # no weights
            rate_hz=RATE_HZ,
            channels=_FRAMES_FOLDED * _BANDS_FOLDED,
            bands=BANDS // _BANDS_FOLDED,
            samples_per_frame=HOP * _FRAMES_FOLDED,
            levels=LatentLevels(unit_db=_SPREAD_DB, floor=(_FLOOR_DB - _CENTRE_DB) / _SPREAD_DB),
        )

    @cached_property
    def filters(self) -> torch.Tensor:
        """Bands from bins, (M, K): triangles on HTK's scale (14 Hz apart at the bottom), all of
        height 1, so that wide high bands are not fainter than low ones.
        """
        low_mel, high_mel = 2595.0 * np.log10(1.0 + np.array((_LOW_HZ, _HIGH_HZ)) / 700.0)
        corners_hz = 700.0 * (np.power(10, np.linspace(low_mel, high_mel, BANDS + 2) / 2595.0) - 1)
        bins_hz = np.linspace(0, RATE_HZ // 2, _TRANSFORM // 2 + 1)
        widths_hz = np.diff(corners_hz)
        rising_MK = (bins_hz - corners_hz[:-2, None]) / widths_hz[:-1, None]
        falling_MK = (corners_hz[2:, None] - bins_hz) / widths_hz[1:, None]
        return torch.from_numpy(np.minimum(rising_MK, falling_MK).clip(min=0.0)).float()

    def centres_hz(self) -> torch.Tensor:
        """The middle of each band: (M,)."""
        return self.filters.argmax(1) * (RATE_HZ / _TRANSFORM)

    def power_weights(self) -> torch.Tensor:
        """What squares of bands' amplitudes are multiplied by to add up to the mean square of the
        wave: (M,).

        Exact for noise in narrow bands, and on average for sines in bands wider than their lobe.
        """
        lobe_K = torch.fft.fft(torch.hann_window(_WINDOW, dtype=torch.float64), _TRANSFORM).abs()
        half_K = lobe_K[: 2 * _PARTIAL_BINS] / _FULL_SCALE / 2
        total, energy = (2 * float(one.sum()) - 1 for one in (half_K, half_K.square()))
        # a sine between two triangles adds the squares of its shares of them: 2/3, on average
        sine = 2 / 3 * total**2 / energy
        return 1 / (2 * energy * self.filters.sum(1).clamp(max=sine))

    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, F)."""
        return _folded(self.levels(waves_BS))

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Waves (B, S). Raises `PipelineError` for latents of another shape."""
        return self.played(self.levels_of(latents_BCTF.float()))

    def levels_of(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """The spectrogram that latents are, (B, M, N). Raises `PipelineError` as `decode` does."""
        facts = self.facts
        if latents_BCTF.shape[1] != facts.channels or latents_BCTF.shape[3] != facts.bands:
            raise PipelineError(
                f"latents of {latents_BCTF.shape[1]} channels and {latents_BCTF.shape[3]} "
                f"bands are not this codec's: it has {facts.channels} and {facts.bands}"
            )
        return _unfolded(latents_BCTF)

    def levels(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """The spectrogram: levels of mel bands, of about zero mean and unit spread, (B, M, N).

        N is four for each latent frame.
        """
        samples = self.facts.frames(waves_BS.shape[1]) * self.facts.samples_per_frame
        spectrum_BKN = _stft(pad(waves_BS.float(), (0, samples - waves_BS.shape[1])))[
            ..., :-1
        ].abs()
        mel_BMN = self.filters.to(spectrum_BKN.device) @ spectrum_BKN
        level_BMN = 20 * torch.log10((mel_BMN / _FULL_SCALE).clamp(min=10 ** (_FLOOR_DB / 20)))
        return (level_BMN - _CENTRE_DB) / _SPREAD_DB

    def amplitudes(self, levels_BMN: torch.Tensor) -> torch.Tensor:
        """Amplitudes of bands (B, M, N) from their levels: a full-scale sine is 1 in its bins, and
        a band adds up its bins, weighted by `filters`.
        """
        return 10 ** ((levels_BMN * _SPREAD_DB + _CENTRE_DB) / 20)

    def played(self, levels_BMN: torch.Tensor) -> torch.Tensor:
        """Waves (B, S) of a spectrogram."""
        levels_BMN = levels_BMN.clamp(max=(_CEILING_DB - _CENTRE_DB) / _SPREAD_DB)
        play = self._vocoder or self.guessed
        return play(levels_BMN).clamp(-1.0, 1.0)

    def guessed(
        self, levels_BMN: torch.Tensor, updates: int = _UPDATES, rounds: int = _ROUNDS
    ) -> torch.Tensor:
        """Waves (B, S) that have about such a spectrogram: the spectrum under it after so many
        updates, and phases after so many rounds of Griffin-Lim.
        """
        mel_BMN = self.amplitudes(levels_BMN) * _FULL_SCALE
        spectrum_BKN = _under(mel_BMN, self.filters.to(mel_BMN.device), updates)
        # encode leaves the frame at the very end out
        return _griffin_lim(torch.cat([spectrum_BKN, spectrum_BKN[..., -1:]], dim=2), rounds)


def open_codec(source: str = "", device: str = "cpu") -> MelCodec:
    """The codec; it has no weights to look for, and no device of its own."""
    if source:
        raise PipelineError(f"the mel codec has no weights: leave its source empty, not {source!r}")
    return MelCodec()


def _folded(x_BMN: torch.Tensor) -> torch.Tensor:
    """Neighbouring frames and bands into channels: (B, C, T, F)."""
    clips, bands, frames = x_BMN.shape
    grid = x_BMN.reshape(
        clips, bands // _BANDS_FOLDED, _BANDS_FOLDED, frames // _FRAMES_FOLDED, _FRAMES_FOLDED
    )
    return grid.permute(0, 4, 2, 3, 1).flatten(1, 2)


def _unfolded(latents_BCTF: torch.Tensor) -> torch.Tensor:
    """What `_folded` undid: (B, M, N)."""
    clips, _, frames, bands = latents_BCTF.shape
    grid = latents_BCTF.reshape(clips, _FRAMES_FOLDED, _BANDS_FOLDED, frames, bands)
    return grid.permute(0, 4, 2, 3, 1).reshape(
        clips, bands * _BANDS_FOLDED, frames * _FRAMES_FOLDED
    )


def _stft(waves_BS: torch.Tensor) -> torch.Tensor:
    """Complex spectra (B, K, N + 1), silence around the wave."""
    window = torch.hann_window(_WINDOW, device=waves_BS.device)
    return torch.stft(
        waves_BS,
        _TRANSFORM,
        HOP,
        _WINDOW,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )


def _istft(spectra_BKN: torch.Tensor) -> torch.Tensor:
    window = torch.hann_window(_WINDOW, device=spectra_BKN.device)
    return torch.istft(spectra_BKN, _TRANSFORM, HOP, _WINDOW, window=window, center=True)


def _under(mel_BMN: torch.Tensor, filters_MK: torch.Tensor, updates: int) -> torch.Tensor:
    """A spectrum without negative parts whose mel spectrogram is near the given one: multiplicative
    updates of Lee & Seung 2001.
    """
    back_KM = filters_MK.T
    spectrum_BKN = (back_KM @ mel_BMN) / (back_KM.sum(1, keepdim=True) + _TINY)
    for _ in range(updates):
        spectrum_BKN = (
            spectrum_BKN * (back_KM @ mel_BMN) / (back_KM @ (filters_MK @ spectrum_BKN) + _TINY)
        )
    return spectrum_BKN


def _griffin_lim(spectrum_BKN: torch.Tensor, rounds: int) -> torch.Tensor:
    """A wave with about the given spectrum: Griffin & Lim 1984, sped up by momentum."""
    phases_BKN = torch.polar(torch.ones_like(spectrum_BKN), _first_phases(spectrum_BKN))
    before_BKN = torch.zeros_like(phases_BKN)
    for _ in range(rounds):
        estimate_BKN = _stft(_istft(spectrum_BKN * phases_BKN))
        ahead_BKN = estimate_BKN - _MOMENTUM / (1 + _MOMENTUM) * before_BKN
        phases_BKN, before_BKN = ahead_BKN / (ahead_BKN.abs() + _TINY), estimate_BKN
    return _istft(spectrum_BKN * phases_BKN)


def _first_phases(spectrum_BKN: torch.Tensor) -> torch.Tensor:
    """Phases that turn as fast as the nearest partial does, in step across its peak.

    From random phases a sine comes back with a standard deviation of 10 cents, from these of 3, in
    half the rounds.
    """
    power_BKN = spectrum_BKN.square()
    bins_K1 = torch.arange(
        spectrum_BKN.shape[1], device=spectrum_BKN.device, dtype=spectrum_BKN.dtype
    )[:, None]
    # where the power around a bin has its middle
    partial_BKN = _smoothed(power_BKN * bins_K1) / (_smoothed(power_BKN) + _TINY)
    # whole turns would only cost precision
    turn_BKN = (2 * torch.pi * partial_BKN * HOP / _TRANSFORM).remainder(2 * torch.pi)
    # neighbours alternate: the window's middle is half a transform away
    return turn_BKN.cumsum(2) - turn_BKN + torch.pi * bins_K1


def _smoothed(x_BKN: torch.Tensor) -> torch.Tensor:
    pooled = avg_pool1d(
        x_BKN.transpose(1, 2), 2 * _PARTIAL_BINS + 1, stride=1, padding=_PARTIAL_BINS
    )
    return pooled.transpose(1, 2)
