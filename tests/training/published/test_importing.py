"""Published models as runs of ours: what the published code computes, ours does."""

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.codecs import open_codec
from pipelines.codecs.audioldm import AudioLdmCodec
from schemas.labels import Beats, Chords, ChordSegment
from tests.training.published.layouts import (
    WIDTH,
    drawn,
    golden,
    mustango,
    stated,
    tango,
    weights_of,
    write_bin,
    write_json,
    write_vae,
)
from training.conditions import Condition
from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.conditions.clip_controls import ClipControls
from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.errors import TrainingError
from training.generation.generate import GenerationRequest, Generator, model_of
from training.munet.config import MuNetConfig
from training.objectives.diffusion import Diffusion
from training.prompt_controls.resolve import resolve_controls
from training.published.importing import import_published
from training.run.checkpoints import RECIPE, find_checkpoint
from training.run.recipe import TrainRecipe

HOW: dict[str, Any] = {"confidence": 1, "tool": "t", "version": "1", "licence": "CC0"}
STEPS = torch.tensor([10, 700])
TIMES = (STEPS + 0.5) / 1000
BEATS = (
    Beats(times_s=(0.11, 0.62, 1.13, 1.66, 2.18, 2.7), numbers=(2, 3, 4, 1, 2, 3), **HOW),
    Beats(times_s=(0.5, 1.25), numbers=(1, 5), **HOW),
)


def chords(*segments: tuple[float, str]) -> Chords:
    ends = [start for start, _ in segments[1:]] + [segments[-1][0] + 1]
    return Chords(
        segments=tuple(
            ChordSegment(start_s=start, end_s=end, label=label)
            for (start, label), end in zip(segments, ends, strict=True)
        ),
        **HOW,
    )


# to the published code: Am F/C Gmaj7 C#m7b5 N Bb7, and Ebaug Dm6/F B6 G#dim Em7
CHORDS = (
    chords(
        (0.0, "A:min"),
        (0.46, "F:maj/5"),
        (0.93, "G:maj7"),
        (1.4, "C#:hdim7"),
        (1.95, "N"),
        (2.5, "Bb:7"),
    ),
    chords((0.0, "Eb:aug"), (0.7, "D:min6/b3"), (1.0, "B:maj6"), (2.0, "G#:dim"), (2.75, "E:min7")),
)


def opened(run: Path) -> LatentDiffusion:
    checkpoint = find_checkpoint(str(run))
    return model_of(checkpoint.record(RECIPE, TrainRecipe), checkpoint).eval()


def words(lengths: tuple[int, ...] = (9, 5)) -> Tokens:
    return Tokens(drawn("text", 2, 9, WIDTH), torch.arange(9) < torch.tensor(lengths)[:, None])


@pytest.mark.parametrize(
    ("name", "beats", "harmony"),
    [
        ("all", BEATS, CHORDS),
        ("no_beats", (None, None), CHORDS),
        ("no_chords", BEATS, (None, None)),
    ],
)
def test_mustango_predicts_what_its_published_code_predicts(
    imported: Path,
    name: str,
    beats: tuple[Beats | None, ...],
    harmony: tuple[Chords | None, ...],
) -> None:
    conditions = Conditions(words(), batched_beats(beats), batched_chords(harmony))
    with torch.no_grad():
        predicted = opened(imported).predict(drawn("latent", 2, 4, 16, 4), TIMES, conditions)
    expected = golden("mustango")[f"noise.{name}"]
    assert expected.std() > 0.5
    assert (predicted - expected).abs().max() < 1e-5


def test_training_on_begins_at_the_published_loss(imported: Path) -> None:
    """The error of v that the published prediction has, of a latent so noised."""
    model, noise = opened(imported), drawn("noise", 2, 4, 16, 4)
    assert isinstance(model.objective, Diffusion)
    left = model.objective.left[STEPS].reshape(-1, 1, 1, 1)
    alpha, sigma = left.sqrt(), (1 - left).sqrt()
    latents = (drawn("latent", 2, 4, 16, 4) - sigma * noise) / alpha
    conditions = Conditions(words(), batched_beats(BEATS), batched_chords(CHORDS))
    with torch.no_grad():
        loss_B = model(latents, conditions, noise, TIMES)
    wrong = golden("mustango")["noise.all"] - (alpha * noise - sigma * latents)
    assert torch.allclose(loss_B, wrong.square().mean((1, 2, 3)), rtol=1e-5)


def test_mustango_s_tokens_are_those_of_its_published_code(imported: Path) -> None:
    model, expected = opened(imported), golden("mustango")
    nothing = Conditions(words(), batched_beats([None]), batched_chords([None]))
    told = Conditions(words(), batched_beats(BEATS), batched_chords(CHORDS))
    with torch.no_grad():
        known, unknown = model.context(told), model.context(nothing)
    for condition in (Condition.BEATS, Condition.CHORDS):
        mask_BL = known[condition].mask_BL[:, :6]
        theirs = expected[str(condition)][mask_BL]
        assert (known[condition].states_BLD[:, :6][mask_BL] - theirs).abs().max() < 1e-6
        none = expected[f"{condition}.none"][0, 0]
        assert (unknown[condition].states_BLD[0, 0] - none).abs().max() < 1e-6


def test_tango_predicts_what_diffusers_unet_predicts(tmp_path: Path, text: Path) -> None:
    config = MuNetConfig(
        latent_channels=4,
        widths=(32, 64),
        attended=(True, False),
        layers=2,
        head_width=16,
        norm_groups=8,
        text_width=WIDTH,
        controls=(),
    )
    unet = tango(tmp_path / "tango", text, config)
    import_published(str(tmp_path / "tango"), str(tmp_path / "run"))
    conditions = Conditions(words(), batched_beats([None] * 2), batched_chords([None] * 2))
    model, x = opened(tmp_path / "run"), drawn("latent", 2, 4, 16, 4)
    assert model.net.config == config.replaced(control_width=WIDTH)
    with torch.no_grad():
        mask_BL = words().mask_BL
        expected = unet(x, STEPS, words().states_BLD, encoder_attention_mask=mask_BL).sample
        assert expected.std() > 0.1
        assert (model.predict(x, TIMES, conditions) - expected).abs().max() < 1e-5


def test_the_published_autoencoder_and_vocoder_compute_what_theirs_do(tmp_path: Path) -> None:
    write_vae(tmp_path / "audioldm")
    made = import_published(str(tmp_path / "audioldm"), str(tmp_path / "codec"))
    assert made.parameters == 0
    codec, expected = open_codec("audioldm", str(tmp_path / "codec")), golden("vae")
    assert isinstance(codec, AudioLdmCodec)
    autoencoder, vocoder = codec._autoencoder, codec._vocoder
    scale = stated("vae")["vae"]["scale_factor"]
    with torch.no_grad():
        held = autoencoder.encode(drawn("mel", 2, 1, 24, 16)).latent_dist.mode() * scale
        mel = autoencoder.decode(expected["latents"] / scale).sample
        wave = vocoder(drawn("heard", 2, 16, 24).transpose(1, 2))
    assert (held - expected["latents"]).abs().max() < 1e-5
    assert (mel - expected["mel"]).abs().max() < 1e-5
    assert (wave[:, :1000] - expected["wave"]).abs().max() < 1e-6
    # and once more, from the layout in which we wrote it
    import_published(str(tmp_path / "codec"), str(tmp_path / "again"))
    assert open_codec("audioldm", str(tmp_path / "again")).facts == codec.facts


def test_an_imported_model_plays_and_says_where_it_is_from(imported: Path, published: Path) -> None:
    main = published / "ldm/pytorch_model_ldm.bin"
    parent = find_checkpoint(str(imported)).state().parents[0]
    assert parent.sha256 == hashlib.sha256(main.read_bytes()).hexdigest()
    assert (parent.name, parent.licence) == ("mustango", "cc-by-nc-sa-4.0")
    generator = Generator.of(str(imported), device="cpu")
    asked = resolve_controls("a flute plays", bpm=120, chords="Am", duration_s=0.32)
    request = GenerationRequest("one", "a flute plays", ClipControls(asked.labels))
    rules = generator.recipe.sampling.replaced(steps=2)
    wave = generator.play([request], sampling=rules)[0]
    assert len(wave) == round(0.32 * 16_000)
    assert 0 < abs(wave).max() <= 1


class _Hostile:
    """Runs a command as it is unpickled by a reader that trusts."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("old_format", [False, True])
def test_a_file_that_holds_code_is_refused_and_does_not_run(
    tmp_path: Path, published: Path, text: Path, old_format: bool
) -> None:
    mark, folder = tmp_path / "ran", mustango(tmp_path / "mustango", text)
    main = folder / "ldm/pytorch_model_ldm.bin"
    held = {**weights_of("mustango"), "unet.conv_in.weight": _Hostile(mark)}
    torch.save(held, main, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(TrainingError, match=r"would run what it holds.*Ask its author"):
        import_published(str(folder), str(tmp_path / "out"))
    main.write_bytes(pickle.dumps(_Hostile(mark), protocol=2))
    with pytest.raises(TrainingError, match=r"pytorch_model_ldm\.bin"):
        import_published(str(folder), str(tmp_path / "out"))
    assert not mark.exists()


def test_what_is_not_whole_or_of_another_model_is_named(
    tmp_path: Path, published: Path, text: Path
) -> None:
    folder = mustango(tmp_path / "mustango", text)
    main, held = folder / "ldm/pytorch_model_ldm.bin", weights_of("mustango")
    gone = "unet.mid_block.attentions3.0.proj_out.bias"
    cases = {
        "mid_block.attentions3.0.proj_out.bias": {
            name: value for name, value in held.items() if name != gone
        },
        "group_in.0.weight, which neither": held | {"group_in.0.weight": torch.ones(2, 2)},
        "not finite": held | {"unet.conv_in.bias": torch.full((16,), torch.nan)},
        "more numbers than": held | {"unet.conv_in.bias": torch.ones(1).expand(10**12)},
        "not Mustango's": held | {"beat_embedding_layer.beat_ffn.weight": torch.ones(WIDTH, 5)},
    }
    for number, (message, weights) in enumerate(cases.items()):
        write_bin(main, weights)
        with pytest.raises(TrainingError, match=message):
            import_published(str(folder), str(tmp_path / f"out{number}"))
    with pytest.raises(TrainingError, match="no model that can be imported"):
        import_published(str(text), str(tmp_path / "out"))
    with pytest.raises(TrainingError, match="is not empty"):
        import_published(str(published), str(text))


def test_a_net_of_another_kind_is_refused(tmp_path: Path, text: Path) -> None:
    folder = mustango(tmp_path / "mustango", text)
    config = folder / "configs/music_diffusion_model_config.json"
    config.write_text(json.dumps(stated("mustango")["unet"] | {"act_fn": "gelu"}))
    with pytest.raises(TrainingError, match="act_fn 'gelu'"):
        import_published(str(folder), str(tmp_path / "out"))


@pytest.mark.parametrize("knob", [{"ch": 10**9}, {"num_res_blocks": 10**9}, {"ch_mult": [1] * 300}])
def test_a_configuration_takes_no_more_memory_than_its_weights(
    tmp_path: Path, knob: dict[str, Any]
) -> None:
    write_vae(tmp_path / "audioldm")
    config = stated("vae")["vae"]
    write_json(
        tmp_path / "audioldm/vae_config.json", config | {"ddconfig": config["ddconfig"] | knob}
    )
    with pytest.raises(TrainingError, match=r"autoencoder"):
        import_published(str(tmp_path / "audioldm"), str(tmp_path / "out"))


@pytest.mark.parametrize(
    "knob", [{"norm_num_groups": 5}, {"attention_head_dim": [0, 4]}, {"attention_head_dim": "x"}]
)
def test_a_shape_that_is_no_net_s_is_refused(
    tmp_path: Path, text: Path, knob: dict[str, Any]
) -> None:
    folder = mustango(tmp_path / "mustango", text)
    config = folder / "configs/music_diffusion_model_config.json"
    config.write_text(json.dumps(stated("mustango")["unet"] | knob))
    with pytest.raises(TrainingError, match="not a UNet of TANGO's kind"):
        import_published(str(folder), str(tmp_path / "out"))
