"""The embedded codec: what goes in comes out again as music, though not as samples."""

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from pipelines.codecs import open_codec
from pipelines.codecs.mel import MelCodec
from pipelines.errors import PipelineError
from schemas.chord import Chord
from schemas.codec import WaveLevel
from tests.pipelines.codecs.waves import cents_off, chord, chroma, sines

CODEC = MelCodec()


def round_trip(waves: torch.Tensor) -> torch.Tensor:
    return CODEC.decode(CODEC.encode(waves))


def test_ten_seconds_become_a_small_grid_of_about_unit_scale() -> None:
    clicks = torch.zeros(1, 160_000)
    clicks[:, ::8000] = 1.0
    music = (
        chord((48, 64, 67), duration_s=10.0)
        + 0.01 * torch.randn(1, 160_000, generator=torch.Generator().manual_seed(0))
        + 0.3 * clicks
    )
    latents = CODEC.encode(music)
    assert latents.shape == (1, 64, 80, 8)
    assert abs(latents.mean()) < 0.7
    assert 0.5 < latents.std() < 1.5


def test_silence_is_the_lowest_latent_and_comes_back_as_silence() -> None:
    latents = CODEC.encode(torch.zeros(1, 16_000))
    assert torch.unique(latents).tolist() == [-2.0]
    assert CODEC.decode(latents).abs().max() < 0.005


def test_tones_over_five_octaves_come_back_within_20_cents() -> None:
    # from a guitar's low E, three quarter tones apart
    frequencies = [82.4 * 2 ** (step / 8) for step in range(41)]
    waves = round_trip(sines(*frequencies, duration_s=1.0))
    off = [cents_off(wave, frequency) for wave, frequency in zip(waves, frequencies, strict=True)]
    assert np.abs(off).max() < 20
    assert np.std(off) < 4


@pytest.mark.parametrize(
    ("harte", "pitches"),
    [
        ("C", (48, 64, 67)),
        ("A:min", (57, 60, 64)),
        ("F#:dim", (54, 57, 60)),
        ("Eb:maj7/3", (55, 58, 62, 63)),
    ],
)
def test_the_notes_of_a_chord_are_still_the_loudest_pitch_classes(
    harte: str, pitches: tuple[int, ...]
) -> None:
    energy, sounding = chroma(round_trip(chord(pitches))[0]), Chord.parse(harte).pitches
    assert set(np.argsort(energy)[-len(sounding) :].tolist()) == sounding
    # of close notes in a low register, a fifth leaks into the semitones beside them
    assert energy[list(sounding)].sum() > 0.7
    others = [energy[pitch] for pitch in range(12) if pitch not in sounding]
    assert min(energy[list(sounding)]) > 1.5 * max(others)


def test_a_stroke_comes_back_when_it_was_struck() -> None:
    wave = torch.zeros(1, 48_000)
    for start in (8_000, 20_000, 33_000):
        wave[:, start : start + 4000] += (
            0.5
            * torch.randn(4000, generator=torch.Generator().manual_seed(start))
            * torch.exp(-torch.arange(4000) / 800)
        )
    decoded = round_trip(wave)[0]
    level = decoded.unfold(0, 160, 160).square().mean(1).sqrt()  # 10 ms
    for start in (8_000, 20_000, 33_000):
        near = slice(start // 160 - 10, start // 160 + 15)
        rise = int(level[near].diff().argmax()) + start // 160 - 10 + 1
        assert abs(rise - start // 160) <= 4, start  # 40 ms; a beat's hit is 70


def test_loudness_survives() -> None:
    loud, soft = sines(440.0), 0.1 * sines(440.0)
    for wave in (loud, soft):
        back = round_trip(wave)
        assert back.square().mean().sqrt() == pytest.approx(wave.square().mean().sqrt(), rel=0.25)


def test_latents_survive_a_round_trip() -> None:
    latents = CODEC.encode(chord((48, 64, 67)))
    again = CODEC.encode(CODEC.decode(latents))
    assert (again - latents).abs().mean() < 0.25


def test_the_same_latents_give_the_same_wave_in_any_company() -> None:
    both = CODEC.encode(torch.cat([chord((48, 64, 67)), chord((50, 65, 69))]))
    together = CODEC.decode(both)
    assert torch.equal(together, CODEC.decode(both))
    alone = CODEC.decode(both[1:])
    assert torch.allclose(alone, together[1:], atol=1e-2)


def test_a_clip_of_any_length_fills_its_last_frame_with_silence() -> None:
    wave = sines(440.0)[:, :16_001]
    latents = CODEC.encode(wave)
    assert latents.shape[2] == CODEC.facts.frames(16_001) == 9
    assert torch.equal(latents, CODEC.encode(torch.nn.functional.pad(wave, (0, 1_999))))
    assert CODEC.decode(latents).shape == (1, 9 * CODEC.facts.samples_per_frame)


def test_what_a_model_exaggerates_stays_within_bounds() -> None:
    wild = CODEC.decode(100 * torch.randn(1, 64, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert wild.isfinite().all()
    assert wild.abs().max() <= 1


def test_what_is_not_a_codec_or_not_its_latent_is_refused() -> None:
    with pytest.raises(
        PipelineError, match="8 channels and 16 bands are not this codec's: it has 64 and 8"
    ):
        CODEC.decode(torch.zeros(1, 8, 256, 16))
    with pytest.raises(PipelineError, match="no codec called 'flute'"):
        open_codec("flute")
    with pytest.raises(PipelineError, match="has no weights"):
        open_codec("mel", "somewhere")


def test_its_bands_are_to_the_bit_the_triangles_of_transformers_on_htks_scale() -> None:
    bank_KM = mel_filter_bank(1251, 128, 30.0, 8000.0, 16_000, norm=None, mel_scale="htk")
    assert torch.equal(CODEC.filters, torch.from_numpy(bank_KM.T.copy()).float())


def test_what_an_encoded_build_depends_on_is_what_it_was_before_codecs_told_levels() -> None:
    """Latents of builds of before are not encoded again."""
    assert CODEC.facts.level is WaveLevel.AS_IS
    assert list(CODEC.facts.identity) == [
        "name",
        "version",
        "licence",
        "rate_hz",
        "channels",
        "bands",
        "samples_per_frame",
    ]
