"""Where in its piece a clip begins, and how long the piece is: told behind the text, dropped with
all else, led to.
"""

import pytest
import torch
from pydantic import ValidationError

from schemas.corpus import Change
from tests.training.data.shards import sample_of
from tests.training.dit.nets import MICRO as DIT
from tests.training.micro import EMPTY_TEXT, TWO, latents, model, times
from tests.training.munet.contexts import MICRO
from training.conditions import Condition, SecondsAs
from training.conditions.clip_controls import Span
from training.conditions.embeddings import TimeEmbedding
from training.conditions.timing import TimingEmbedding
from training.data.prompts import PromptConfig, visit
from training.data.song_place import SongPlace, place_in_song
from training.run.presets import ready_recipe

PLACES = torch.tensor([[12.0, 30.0], [torch.nan, torch.nan]])
TIMED = MICRO.replaced(seconds=True, seconds_as=SecondsAs.TOKENS)


def test_two_tokens_stand_behind_a_text_and_none_where_nothing_is_known() -> None:
    torch.manual_seed(0)
    embed = TimingEmbedding(MICRO.text_width)
    told = embed(TWO.text, PLACES)
    length = TWO.text.mask_BL.shape[1]
    assert told.mask_BL[:, length:].tolist() == [[True] * 2 + [False] * 6, [False] * 8]
    assert torch.equal(told.states_BLD[:, :length], TWO.text.states_BLD)
    other = embed(TWO.text, torch.tensor([[12.0, 30.5], [3.0, 30.0]])).states_BLD
    assert torch.equal(other[0, length], told.states_BLD[0, length])  # the same start
    assert (other[0, length + 1] - told.states_BLD[0, length + 1]).abs().max() > 0.01  # half a s
    assert (other[1, length] - other[0, length]).abs().max() > 0.1


@pytest.mark.parametrize("shape", [MICRO, DIT])
def test_a_net_hears_them_and_hears_nothing_of_what_is_not_known(shape: object) -> None:
    made = model(shape.replaced(seconds=True, seconds_as="tokens", text_width=24))  # type: ignore
    bands = 4
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    x_BCTF = latents()[..., :bands]

    def said(seconds_B2: torch.Tensor | None) -> torch.Tensor:
        return made.predict(x_BCTF, times(500, 500), TWO._replace(seconds_B2=seconds_B2))

    early, late = said(torch.tensor([[0.0, 30.0]] * 2)), said(torch.tensor([[20.0, 30.0]] * 2))
    assert (early - late).abs().max() > 1e-4
    nowhere = said(torch.full((2, 2), torch.nan))
    assert torch.allclose(nowhere, said(None), atol=1e-6)


def test_guidance_leads_to_tokens_but_not_to_what_is_added() -> None:
    given = TWO._replace(seconds_B2=torch.tensor([[1.0, 9.0]] * 2))
    dropped = model(TIMED).unconditional(given, EMPTY_TEXT)
    assert dropped.seconds_B2 is not None
    assert dropped.seconds_B2.isnan().all()
    added = model(MICRO.replaced(seconds=True)).unconditional(given, EMPTY_TEXT)
    assert torch.equal(added.seconds_B2, given.seconds_B2)  # type: ignore[arg-type]


def test_without_tokens_a_model_has_the_weights_it_had() -> None:
    named = {name for name, _ in model(TIMED).named_parameters()}
    plain = {name for name, _ in model().named_parameters()}
    assert named - plain == {
        f"timing.{part}.{kind}" for part in ("start", "total") for kind in ("weight", "bias")
    }
    assert MICRO.seconds_as is SecondsAs.ADDED  # what recipes of old mean


def test_seconds_that_are_added_may_be_unknown_too() -> None:
    torch.manual_seed(0)
    embed = TimeEmbedding(16, 16, with_seconds=True)
    torch.nn.init.normal_(embed.seconds.weight)  # type: ignore[union-attr]
    steps = torch.tensor([100.0, 100.0])
    told, untold = embed(steps, PLACES), embed(steps, None)
    assert torch.equal(told[1], untold[1])
    assert (told[0] - untold[0]).abs().max() > 0.1


def test_a_place_is_that_of_the_sample_s_own_speed() -> None:
    sample = sample_of(0, start_s=30.0, end_s=40.0, song_s=200.0)
    assert place_in_song(sample, Span(2.0, 4.0)) == SongPlace(32.0, 200.0)
    faster = sample.replaced(change=Change(speed=1.25))
    assert place_in_song(faster, Span(2.0, 4.0)) == SongPlace(26.0, 160.0)


def test_seconds_are_dropped_by_a_chance_of_their_own() -> None:
    def visits(**knobs: float) -> list[bool]:
        rules = PromptConfig(drop_all=0, drop_each=0, **knobs)
        return [
            visit(
                sample_of(0), seed=0, epoch=epoch, mean_sentences=3.0, config=rules
            ).seconds_dropped
            for epoch in range(400)
        ]

    assert 0.2 < sum(visits(drop_seconds=0.25)) / 400 < 0.3
    assert not any(visits())
    everything = PromptConfig(drop_all=1)
    untold = visit(sample_of(0), seed=0, epoch=0, mean_sentences=3.0, config=everything)
    assert untold.all_dropped
    assert untold.dropped == set(Condition)


def test_a_released_transformer_has_its_own_way() -> None:
    rules = ready_recipe("tiny")
    shape = {
        "in_channels": 8, "num_layers": 1, "num_attention_heads": 1, "attention_head_dim": 8,
        "global_states_input_dim": 8,
    }  # fmt: skip
    released = {
        "kind": "released", "family": "StableAudioDiTModel", "shape": shape, "latent_channels": 8,
    }  # fmt: skip
    with pytest.raises(ValidationError, match="not as seconds_as=tokens"):
        rules.replaced(model=released | {"seconds": True, "seconds_as": "tokens"})
    with pytest.raises(ValidationError, match="is told seconds in any case"):
        rules.replaced(model=released, prompts=PromptConfig(drop_seconds=0.1))
