"""A training run as commands and flows request it: its recipe, here or through a launcher."""

import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.build.recipe_files import of_chosen_kinds, validated_as, with_settings
from flows.errors import UsageError
from flows.launchers import Launching
from flows.launchers.command import run_launched, train_job
from flows.launchers.job import LAUNCHED, REQUEUE, ReportLine
from flows.screens.model_card import DOCUMENT
from pipelines.storage.lock import wait_out
from pipelines.storage.store import Store
from pipelines.trust.trusted import check_trust, trust
from schemas.record import Record
from training.adapters.config import AdapterRecipe
from training.run.checkpoints import RECIPE, find_checkpoint
from training.run.presets import READY, ready_recipe
from training.run.recipe import TrainRecipe, foreign_names
from training.run.warm_start import latents_recipe
from training.samplers.config import Sampler, SamplingConfig

_FIRST = "tiny"  # of presets, where none is named
_STUDENT_STEPS = 4  # of a student, unless its user says otherwise


class TrainingRequest(Record):
    """What to train, where, and by whom."""

    shards: tuple[str, ...]
    out: str  # folder of the run
    preset: str = ""  # empty: the first one, or the recipe of what is begun with
    start_from: str = ""  # a run, a checkpoint, or a published model
    distil: str = ""  # the same, of which a student is made
    recipe_file: Path | None = None  # laid over the preset
    settings: tuple[str, ...] = ()  # section.key=value, laid over both
    launching: Launching | None = (
        None  # none: in this process, which may be one of several that were started for it
    )

    @property
    def recipe(self) -> TrainRecipe:
        """The whole recipe. Raises `UsageError` naming what does not fit."""
        settings = [*self.settings, *self._start_settings]
        return train_recipe(self.preset, self.recipe_file, settings, list(self.shards))

    @property
    def _start_settings(self) -> tuple[str, ...]:
        begun = self.start_from or self.distil
        jumps = ("model.jumps=true",) if self.distil else ()
        return (f"run.start_from={begun}", *jumps) if begun else ()

    @property
    def all_settings(self) -> tuple[str, ...]:
        """The recipe's file as settings, then the others: machines that train may not see it."""
        file = self.recipe_file
        sections = (
            tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
        )  # `train_recipe` has read it before
        knobs = [
            (section, knob, value)
            for section, values in sections.items()
            for knob, value in values.items()
        ]
        return (
            *(f"{section}.{knob}={json.dumps(value)}" for section, knob, value in knobs),
            *self.settings,
            *self._start_settings,
        )


class TrainingOutcome(Record):
    """How a run ended. `status` is that of a command: 0, or 75 where the same command goes on."""

    out: str
    status: int
    step: int | None = None  # none: its folder cannot be seen from here, or holds no whole run yet
    checkpoint: str = ""
    is_first: bool = True  # of several processes the one that tells; the others are silent

    @property
    def stopped(self) -> bool:
        """Whether there is more to do."""
        return self.status != 0


def run_training(request: TrainingRequest, report: ReportLine) -> TrainingOutcome:
    """Train, or go on with a run.

    Raises `UsageError` and `TrainingError` for what cannot be trained.
    """
    if begun := request.start_from or request.distil:
        from flows.models.published import started_from

        started = started_from(begun, request.out, report)
        request = request.replaced(**{"distil" if request.distil else "start_from": started})
    recipe = request.recipe
    if request.launching is None:
        return _trained_here(request, recipe, report)
    trust(
        request.out, foreign_names(recipe.text, recipe.codec)
    )  # where it trains it may not be remembered
    job = train_job(
        request.shards, request.out, request.preset, request.all_settings, request.launching
    ).replaced(checkpoint_bytes=_checkpoint_bytes(recipe))
    return _outcome(request.out, run_launched(job, request.launching, report))


def _checkpoint_bytes(recipe: TrainRecipe) -> int:
    """Of weights, averages and two moments, in float32."""
    from flows.screens.model_files import parameters_of

    return 16 * parameters_of(recipe)


def _trained_here(
    request: TrainingRequest, recipe: TrainRecipe, report: ReportLine
) -> TrainingOutcome:
    from flows.screens.model_files import write_model_card
    from training.run.loop import train
    from training.run.parallel import is_first_process

    if (
        os.environ.get(LAUNCHED) and is_first_process()
    ):  # by a scheduler, maybe in place of a run whose machine died
        wait_out(Store(request.out), report)
    made = train(recipe, request.out, report, at_end=lambda: write_model_card(request.out))
    status = REQUEUE if made.stopped else 0
    return TrainingOutcome(
        out=request.out,
        status=status,
        step=made.step,
        checkpoint=made.checkpoint,
        is_first=is_first_process(),
    )


def _outcome(out: str, status: int) -> TrainingOutcome:
    """How a launched run ended, as far as its folder can be seen from here."""
    if status or not Store(out).exists(DOCUMENT):
        return TrainingOutcome(out=out, status=status)
    facts = json.loads(Store(out).read_bytes(DOCUMENT))
    return TrainingOutcome(
        out=out, status=status, step=facts["step"], checkpoint=f"{out}/{facts['checkpoint']}"
    )


def train_recipe(
    preset: str, file: Path | None, settings: Sequence[str], shards: Sequence[str]
) -> TrainRecipe:
    """A preset, or the recipe of the run that `run.start_from` names, of its student where
    `model.jumps` is set, with a file's values laid over it, then settings, then the shards.

    Raises `UsageError` naming what does not fit.
    """
    given = with_settings({"run": {}, "model": {}}, list(settings))
    start_from = given["run"].get("start_from", "")
    if start_from and preset:
        raise UsageError(
            f"--preset {preset} beside --from or --distil: {start_from} has a recipe of its "
            "own, over which --set and --recipe lay what is to differ"
        )
    ready = _preset_values(preset or _FIRST)
    if start_from:
        ready = _parent_values(start_from, distilled=bool(given["model"].get("jumps")))
    values = {section: dict(knobs) for section, knobs in ready.items()}
    if file is not None:
        try:
            laid_over = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"recipe {file}: {error}") from error
        for section, knobs in laid_over.items():
            values[section] = (
                {**values.get(section, {}), **knobs} if isinstance(knobs, dict) else knobs
            )
    values = with_settings(values, list(settings))
    values = of_chosen_kinds(TrainRecipe, values, ready)
    if shards:
        values["data"]["shards"] = list(shards)
    return validated_as(
        TrainRecipe, values, "`obbligato train --preset tiny --print` prints every knob"
    )


def _preset_values(preset: str) -> dict[str, Any]:
    if preset not in READY:
        raise UsageError(f"no preset called {preset!r}: expected {', '.join(READY)}")
    return ready_recipe(preset).model_dump(mode="json")


def _parent_values(start_from: str, *, distilled: bool) -> dict[str, Any]:
    """The recipe of a run that is begun with, or of a student of it; its shards and its own
    beginning are not taken over, nor what was frozen in it.

    Raises `NotTrusted` where it names what nobody has named by hand for that run.
    """
    checkpoint = find_checkpoint(start_from, files=(RECIPE,))
    recipe = latents_recipe(checkpoint)
    check_trust(checkpoint.run, foreign_names(recipe.text, recipe.codec))
    data = recipe.data.replaced(shards=(), weights=())
    recipe = recipe.replaced(data=data, adapter=AdapterRecipe())
    values = recipe.model_dump(mode="json")
    if distilled and not recipe.model.jumps:
        sampling = SamplingConfig(
            sampler=Sampler.JUMP, steps=_STUDENT_STEPS, guidance=recipe.sampling.guidance
        )
        values["sampling"] = sampling.model_dump(mode="json")
    return values
