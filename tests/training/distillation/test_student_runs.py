"""Students: trained, resumed, shared by processes, played, handed on; and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from flows.screens.model_files import write_model_card
from pipelines.codecs import open_codec
from tests.training.run.test_loop import assert_equal_to_the_bit, losses, silent, started, weights
from tests.training.runs import DIT, NET, recipe
from training.conditions.clip_controls import ClipControls
from training.errors import TrainingError
from training.evaluation.condition_ablation import ablate_conditions
from training.generation.generate import GenerationRequest, Generator
from training.nets import NetConfig
from training.prompt_controls.resolve import resolve_controls
from training.published.exporting import export_model
from training.published.importing import import_published
from training.run.checkpoints import find_checkpoint, folder_of
from training.run.loop import train
from training.run.recipe import TrainRecipe
from training.run.warm_start import played_weights, warm_start
from training.samplers.config import Sampler, SamplingConfig

MEL = open_codec("mel").facts
JUMPS = SamplingConfig(sampler=Sampler.JUMP, steps=2)


@pytest.fixture(
    scope="module",
    params=[pytest.param(NET, id="munet", marks=pytest.mark.slow), pytest.param(DIT, id="dit")],
)
def net(request: pytest.FixtureRequest) -> NetConfig:
    chosen: NetConfig = request.param
    return chosen


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, shards: Path, net: NetConfig) -> Path:
    """A run of two steps; its transformer learns a flow, its UNet a diffusion."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    train(recipe(shards, net, run__steps=2), str(out), silent)
    return out


def student(shards: Path, net: NetConfig, teacher: Path, /, **knobs: object) -> TrainRecipe:
    small: dict[str, object] = {
        "run__start_from": str(teacher),
        "run__steps": 4,
        "run__checkpoint_every": 2,
        "optim__lr": 1e-3,
    }
    made = recipe(shards, net, **(small | knobs))
    return made.replaced(model=net.replaced(jumps=True), sampling=JUMPS)


@pytest.fixture(scope="module")
def distilled(
    tmp_path_factory: pytest.TempPathFactory, shards: Path, net: NetConfig, teacher: Path
) -> Path:
    out = tmp_path_factory.mktemp("student") / "run"
    train(student(shards, net, teacher), str(out), silent)
    return out


def request() -> GenerationRequest:
    asked = resolve_controls("A calm flute in A minor", duration_s=2.0)
    return GenerationRequest("0", "A calm flute in A minor", ClipControls(asked.labels))


def test_it_goes_on_to_the_bit(
    tmp_path: Path, shards: Path, net: NetConfig, teacher: Path, distilled: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(distilled, again)
    shutil.rmtree(again / folder_of(4))
    train(student(shards, net, teacher), str(again), silent)
    assert_equal_to_the_bit(distilled, again, 4)


def test_checkpoints_hold_the_student_alone_and_its_teacher_s_hash(
    teacher: Path, distilled: Path
) -> None:
    theirs, ours = weights(teacher, 2, "ema.safetensors"), weights(distilled, 4)
    assert {".jump." in name for name in ours.keys() - theirs.keys()} == {True}
    assert theirs.keys() < ours.keys()
    [parent] = find_checkpoint(str(distilled)).state().parents
    files = find_checkpoint(str(teacher)).state().files
    assert (parent.sha256, parent.is_teacher) == (files["ema.safetensors"], True)
    card = json.loads(write_model_card(str(distilled)).model_dump_json())
    assert card["teacher"]["sha256"] == parent.sha256
    assert "It is a student: distilled from **run**" in (distilled / "README.md").read_text()
    assert write_model_card(str(teacher)).teacher is None


def test_a_teacher_that_is_gone_or_changed_is_named(
    tmp_path: Path, shards: Path, net: NetConfig, teacher: Path
) -> None:
    copied, out = tmp_path / "teacher", tmp_path / "run"
    shutil.copytree(teacher, copied)
    train(student(shards, net, copied, run__steps=1), str(out), silent)
    Generator.of(str(out), "cpu")  # plays without it
    train(recipe(shards, net, run__steps=3, run__keep=1), str(copied), silent)
    with pytest.raises(TrainingError, match=r"step-00000002, .* is gone or damaged"):
        train(student(shards, net, copied, run__steps=2), str(out), silent)


def test_it_plays_and_is_ablated_as_any_model(distilled: Path, shards: Path) -> None:
    generator = Generator.of(str(distilled), "cpu")
    waves = {
        (steps, gamma): generator.play(
            [request()], sampling=JUMPS.replaced(steps=steps, gamma=gamma)
        )[0]
        for steps in (1, 2)
        for gamma in (0.0, 0.5)
    }
    assert (waves[1, 0.0] == waves[1, 0.5]).all()  # no step after the first to draw noise for
    assert (waves[2, 0.0] != waves[2, 0.5]).any()
    again = generator.play([request()], sampling=JUMPS.replaced(gamma=0.5))[0]
    assert (again == waves[2, 0.5]).all()
    generator.play([request()], sampling=SamplingConfig(sampler=Sampler.EULER, steps=2))
    found = ablate_conditions(generator, str(shards), rounds=2)
    assert all(one.right > 0 for one in found)


def test_what_it_was_not_told_is_refused_by_name(distilled: Path, teacher: Path) -> None:
    generator = Generator.of(str(distilled), "cpu")
    with pytest.raises(TrainingError, match="guidance 7 is not one that this student was told of"):
        generator.play([request()], sampling=JUMPS.replaced(guidance=7.0))
    for knob in ({"clamp": True}, {"guidance_controls": 2.0}, {"guidance_rescale": 0.5}):
        with pytest.raises(TrainingError, match=rf"leave sampling\.{next(iter(knob))} unset"):
            generator.play([request()], sampling=JUMPS.replaced(**knob))
    with pytest.raises(TrainingError, match="sampler=jump is for a student"):
        Generator.of(str(teacher), "cpu").play([request()], sampling=JUMPS)


def test_a_student_is_neither_taught_from_nor_trained_on(
    shards: Path, net: NetConfig, distilled: Path
) -> None:
    for chosen in (
        student(shards, net, distilled),
        recipe(shards, net, run__start_from=str(distilled)),
    ):
        with pytest.raises(TrainingError, match="is a student, which was distilled: it teaches"):
            warm_start(chosen, MEL)


def test_a_student_has_its_teacher_s_net_objective_and_text(
    tmp_path: Path, shards: Path, net: NetConfig, teacher: Path
) -> None:
    chosen = student(shards, net, teacher)
    blind = chosen.replaced(model=chosen.model.replaced(rows=()))
    with pytest.raises(TrainingError, match=r"cannot be the teacher: model\.rows = \(\) \(there b"):
        warm_start(blind, MEL)
    other = chosen.replaced(text=chosen.text.replaced(max_tokens=12))
    with pytest.raises(TrainingError, match=r"cannot be the teacher: text\.max_tokens = 12"):
        warm_start(other, MEL)
    alone = chosen.replaced(run=chosen.run.replaced(start_from=""))
    with pytest.raises(TrainingError, match=r"model\.jumps is of a student"):
        train(alone, str(tmp_path / "run"), silent)


def test_it_is_handed_on_whole(tmp_path: Path, distilled: Path) -> None:
    """In our own layout: published code would open a net that it cannot tell of jumps."""
    made = export_model(str(distilled), str(tmp_path / "out"))
    assert made.opened_by == ""
    assert not (tmp_path / "out/unet").exists()
    import_published(str(tmp_path / "out"), str(tmp_path / "again"))
    back = find_checkpoint(str(tmp_path / "again"))
    held, played = back.weights("ema.safetensors"), played_weights(find_checkpoint(str(distilled)))
    assert held.keys() == played.keys()
    assert all(torch.equal(value, played[name]) for name, value in held.items())
    assert [one.is_teacher for one in back.state().parents] == [True, False]
    card = write_model_card(str(tmp_path / "again"))
    assert card.teacher is not None
    sampling = JUMPS.replaced(gamma=0.5)
    waves = [
        Generator.of(str(run), "cpu").play([request()], sampling=sampling)[0]
        for run in (distilled, tmp_path / "again")
    ]
    assert (waves[0] == waves[1]).all()


def test_the_average_may_lead_on_and_a_low_rank_student_learns(
    tmp_path: Path, shards: Path, net: NetConfig, teacher: Path
) -> None:
    linear = ("query", "key") if net is NET else ("self_attention.enter",)
    low = {"adapter__rank": 2, "adapter__targets": linear, "distil__target": "ema"}
    out = tmp_path / "run"
    train(student(shards, net, teacher, run__steps=2, **low), str(out), silent)
    own = weights(out, 2, "adapter.safetensors")
    assert any(".jump." in name for name in own)
    assert any(".lora_B." in name for name in own)
    Generator.of(str(out), "cpu").play([request()])


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_distil_as_one_does(
    tmp_path: Path, shards: Path, net: NetConfig, teacher: Path, parallel: str
) -> None:
    chosen = student(shards, net, teacher, run__parallel=parallel)
    alone = started(chosen, tmp_path / "alone").communicate(timeout=300)[0]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    both = started(chosen, tmp_path / "both", *launcher).communicate(timeout=300)[0]
    assert losses(both) == pytest.approx(losses(alone), abs=2e-4)
    assert len(losses(alone)) == 4
    one, two = weights(tmp_path / "alone", 4), weights(tmp_path / "both", 4)
    assert one.keys() == two.keys()
    assert all(torch.allclose(value, two[name], atol=2e-3) for name, value in one.items())
