"""EnCodec and DAC on small models of the published layout, with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

from pipelines.codecs import Codec, open_codec
from pipelines.codecs.token_codec import with_codes
from pipelines.errors import PipelineError
from tests.pipelines.codecs.waves import chord, sines

RATE_HZ = 16_000


class Case(NamedTuple):
    """A codec on a small model, that model, and what is known of it."""

    name: str
    codec: Codec
    model: Any
    folder: Path
    channels: int
    hop: int
    licence: str


def small_encodec(**knobs: Any) -> EncodecModel:
    """Two codebooks of 64 entries: 6 bits each, 200 frames a second."""
    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=RATE_HZ,
        hidden_size=8,
        num_filters=4,
        upsampling_ratios=[5, 4, 4],
        codebook_size=64,
        target_bandwidths=[1.2, 2.4],
        **knobs,
    )
    model = EncodecModel(config)
    model.eval()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        residual = model.encoder(music(3.0)[:, None])
        # Entries lie where what they round does, as after training.
        layers: Any = model.quantizer.layers
        for layer in layers:
            layer.codebook.embed.copy_(residual[0][:, torch.randint(0, residual.shape[2], (64,))].T)
            layer.codebook.cluster_size.copy_(torch.rand(64) + 0.5)
            residual = residual - layer.decode(layer.encode(residual))
    return model


def small_dac() -> DacModel:
    torch.manual_seed(0)
    config = DacConfig(
        sampling_rate=RATE_HZ,
        encoder_hidden_size=8,
        decoder_hidden_size=32,
        downsampling_ratios=[2, 5, 8],
        n_codebooks=3,
        codebook_size=64,
        codebook_dim=4,
    )
    model = DacModel(config)
    model.eval()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for name, layer in model.named_modules():
            # drawn as transformers draws them, they would give hardly any sound
            if isinstance(layer, torch.nn.Conv1d):
                torch.nn.init.normal_(
                    layer.weight,
                    std=(0.3 if "decoder" in name else 1.0) * layer.weight[0].numel() ** -0.5,
                )
        residual = model.encoder(music(3.0)[:, None])
        books: Any = model.quantizer.quantizers
        for book in books:
            seen_KT = book.in_proj(residual)[0]
            book.codebook.weight.copy_(seen_KT[:, torch.randint(0, seen_KT.shape[1], (64,))].T)
            residual = residual - book(residual)[0]
    return model


def music(duration_s: float) -> torch.Tensor:
    noise = torch.randn(1, round(duration_s * RATE_HZ), generator=torch.Generator().manual_seed(1))
    return chord((48, 64, 67), duration_s=duration_s) + 0.1 * noise


@pytest.fixture(scope="module", params=["encodec", "encodec not causal", "dac"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("codec")
    name = request.param.split()[0]
    if name == "dac":
        dac = small_dac()
        # As in published configurations that were made from the default one.
        dac.config.hop_length = 512
        model: EncodecModel | DacModel = dac
        channels, licence = 3 * 4, "MIT"
    else:
        # as MusicGen's
        knobs = (
            {"use_causal_conv": False, "use_conv_shortcut": False}
            if "not causal" in request.param
            else {}
        )
        model = small_encodec(**knobs)
        channels, licence = 8, "CC-BY-NC-4.0"
    model.save_pretrained(folder)
    return Case(name, open_codec(name, str(folder)), model, folder, channels, 80, licence)


def test_its_facts_are_the_model_s(case: Case) -> None:
    facts = case.codec.facts
    assert (facts.name, facts.licence, facts.rate_hz) == (case.name, case.licence, RATE_HZ)
    assert (facts.channels, facts.bands, facts.samples_per_frame, facts.frames_per_s) == (
        case.channels,
        1,
        case.hop,
        200.0,
    )
    assert case.codec.encode(sines(440.0, 220.0, duration_s=0.5)).shape == (
        2,
        case.channels,
        100,
        1,
    )


def test_latents_have_about_zero_mean_and_unit_variance(case: Case) -> None:
    latents = case.codec.encode(music(3.0))
    assert abs(latents.mean()) < 0.3
    assert 0.7 < latents.std() < 1.4


def test_what_is_played_is_what_the_published_codec_plays(case: Case) -> None:
    wave = music(1.0)
    expected = case.model(
        wave[:, None], **({"bandwidth": 2.4} if case.name == "encodec" else {})
    ).audio_values.reshape(1, -1)
    played = case.codec.decode(case.codec.encode(wave))
    assert played.shape == (1, RATE_HZ)
    assert expected.std() > 1e-4
    assert torch.allclose(played[:, : expected.shape[1]], expected.clamp(-1, 1), atol=1e-5)


def test_the_codes_are_those_of_the_published_codec(case: Case) -> None:
    """Latents in half precision, as they are stored, are rounded to nearly the same codes."""
    wave = music(1.0)
    stored = case.codec.encode(wave).half().float()
    expected = case.model(
        wave[:, None], **({"bandwidth": 2.4} if case.name == "encodec" else {})
    ).audio_values.reshape(1, -1)
    off = (case.codec.decode(stored)[:, : expected.shape[1]] - expected.clamp(-1, 1)).abs()
    assert (off < 1e-3).float().mean() > 0.9


def test_codes_in_whole_numbers_are_the_published_ones_and_play_as_latents_do(case: Case) -> None:
    wave, codec = music(1.0), with_codes(case.codec)
    knobs = {"bandwidth": 2.4} if case.name == "encodec" else {}
    # of EnCodec one more axis, of chunks
    expected_BLT = case.model.encode(wave[:, None], **knobs).audio_codes.reshape(1, -1, 200)
    codes_BLT = codec.codes(wave)
    assert codes_BLT.shape == (1, codec.books, 200)
    assert len(set(codes_BLT.flatten().tolist())) > 20
    assert (codes_BLT == expected_BLT).float().mean() > 0.99  # all but ties
    latents_BCTF = codec.encode(wave)
    assert torch.equal(codec.codes_of(latents_BCTF), codes_BLT)
    played_BS = codec.decode_codes(codes_BLT)
    assert torch.allclose(played_BS, codec.decode(latents_BCTF), atol=1e-5)
    published = case.model.decode(
        **(
            {"audio_codes": codes_BLT[None], "audio_scales": [None]}
            if case.name == "encodec"
            else {"audio_codes": codes_BLT}
        )
    ).audio_values.reshape(1, -1)
    samples = published.shape[1]
    assert torch.allclose(played_BS[:, :samples], published.clamp(-1, 1), atol=1e-5)


def test_silence_fills_the_last_frame(case: Case) -> None:
    wave = music(0.5)[:, :7960]
    assert torch.equal(
        case.codec.encode(wave), case.codec.encode(torch.nn.functional.pad(wave, (0, 40)))
    )
    assert case.codec.decode(case.codec.encode(wave)).shape == (1, 8000)


def test_a_clip_in_a_batch_gives_its_own_latents_and_waves(case: Case) -> None:
    batch = torch.cat([music(0.5), sines(440.0, 220.0, duration_s=0.5)])
    together, alone = (
        case.codec.encode(batch),
        torch.cat([case.codec.encode(wave[None]) for wave in batch]),
    )
    assert torch.allclose(together, alone, atol=1e-4)
    played = torch.cat([case.codec.decode(latents[None]) for latents in together])
    assert torch.allclose(case.codec.decode(together), played, atol=1e-4)


def test_the_version_tells_weights_apart_and_the_scale_is_in_the_weights(case: Case) -> None:
    again = open_codec(case.name, str(case.folder))
    assert again.facts == case.codec.facts
    assert torch.equal(again.encode(music(0.2)), case.codec.encode(music(0.2)))
    louder = (
        DacModel.from_pretrained(case.folder)
        if case.name == "dac"
        else EncodecModel.from_pretrained(case.folder)
    )
    with torch.no_grad():
        next(louder.decoder.parameters()).mul_(1.01)
    assert type(again)(louder).facts.version != again.facts.version  # type: ignore[call-arg]


def test_nothing_of_it_learns(case: Case) -> None:
    assert not case.codec.encode(music(0.2)).requires_grad


def test_gradients_pass_through_rounding_which_has_none_of_its_own(case: Case) -> None:
    latents = case.codec.encode(music(0.2))
    asked = latents.clone().requires_grad_()
    played = case.codec.decode(asked)
    played.square().mean().backward()  # type: ignore[no-untyped-call]
    assert asked.grad is not None
    assert asked.grad.isfinite().all()
    assert asked.grad.abs().amax(dim=(0, 2, 3)).all()  # of every channel
    assert torch.allclose(played, case.codec.decode(latents), atol=1e-4)


def test_latents_of_another_codec_are_refused(case: Case) -> None:
    with pytest.raises(PipelineError, match=f"are not this codec's: it has {case.channels} and 1"):
        case.codec.decode(torch.zeros(1, case.channels, 4, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: small_encodec(audio_channels=1, normalize=True),
            "keeps the loudness of each chunk",
        ),
        (
            lambda: small_encodec(chunk_length_s=1.0, overlap=0.01),
            "keeps the loudness of each chunk",
        ),
        (
            lambda: EncodecModel(EncodecConfig(audio_channels=2, num_filters=2, hidden_size=4)),
            "has 2 channels: only mono ones",
        ),
        (
            lambda: EncodecModel(EncodecConfig(num_filters=2, hidden_size=4)),
            "they were never trained",
        ),
    ],
)
def test_encodec_models_that_cannot_be_used_are_refused(
    make: Callable[[], EncodecModel], message: str, tmp_path: Path
) -> None:
    make().save_pretrained(tmp_path)
    with pytest.raises(PipelineError, match=message):
        open_codec("encodec", str(tmp_path))


@pytest.mark.parametrize("name", ["encodec", "dac"])
def test_a_folder_without_a_model_is_refused_with_what_was_expected(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match=r"expected an id on the Hugging Face hub, or a folder"):
        open_codec(name, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "other", "kind"), [("encodec", small_dac, "dac"), ("dac", small_encodec, "encodec")]
)
def test_weights_of_another_codec_are_refused_with_their_kind(
    name: str, other: Callable[[], Any], kind: str, tmp_path: Path
) -> None:
    other().save_pretrained(tmp_path)
    with pytest.raises(PipelineError, match=f"holds a model of kind '{kind}'"):
        open_codec(name, str(tmp_path))


def test_weights_that_lack_a_part_are_refused_rather_than_drawn_at_random(tmp_path: Path) -> None:
    small_dac().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["quantizer.quantizers.2.codebook.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(PipelineError, match=r"lack quantizer\.quantizers\.2\.codebook\.weight"):
        open_codec("dac", str(tmp_path))
