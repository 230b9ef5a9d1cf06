"""Training predictors on shards: minutes on a CPU. `learn` is the place to start reading.

Each predictor begins as the corpus's own counts, and goes on answering what is usual where captions
prove to tell nothing of it.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

from pipelines.storage.lock import hold
from pipelines.storage.store import Store
from pipelines.trust.trusted import trust
from schemas.identity import Split
from training.control_predictors.choosing import TRUSTS, CandidateWeights, WeightChoice
from training.control_predictors.counting import shares_of
from training.control_predictors.losses import Judged, look_losses
from training.control_predictors.nets import PredictedPart, PredictorNets
from training.control_predictors.reading import Reader, reader_of_validation
from training.control_predictors.recipe import PredictorRecipe
from training.control_predictors.visits import batched
from training.diffusion.text_encoder import TextCache, open_text_encoder
from training.errors import BadData, TrainingError
from training.run import checkpoints
from training.run.checkpoints import MODEL, RECIPE, STATE
from training.run.ema import Ema
from training.run.learner import rate_at
from training.run.metrics_log import ReportLine
from training.run.recipe import foreign_names


class Learned(NamedTuple):
    """How a training ended: the checkpoint, and for each predictor its loss on validation before
    and after (NaN without such a split).
    """

    checkpoint: str
    losses: Mapping[PredictedPart, tuple[float, float]]


def learn(recipe: PredictorRecipe, out: str, report: ReportLine = print) -> Learned:
    """Train all predictors by a recipe into a folder.

    The same recipe, shards and machine give the same weights.

    Raises `TrainingError` for missing shards and for a folder that holds a training, and `BadData`
    for too many unusable samples.
    """
    if not recipe.data.shards:
        raise TrainingError(
            "no shards to learn from: name a build, a folder of shards, or their URLs"
        )
    store = Store(out)
    with hold(store, "training"), torch.random.fork_rng(devices=[]):
        if checkpoints.whole_ones(store):
            raise TrainingError(f"{out} holds a training already: take another folder")
        trust(out, foreign_names(recipe.text))
        torch.manual_seed(recipe.run.seed)
        trainer = _PredictorTrainer(recipe, report)
        return _saved(store, recipe, trainer, trainer.run())


class _PredictorTrainer:
    """Nets with their optimizer, and the samples that they learn from and are judged by."""

    def __init__(self, recipe: PredictorRecipe, report: ReportLine) -> None:
        self.recipe, self._report = recipe, report
        encoder = open_text_encoder(
            recipe.text.source, "cpu", recipe.text.max_tokens, recipe.text.encoder
        )
        self.encoder = encoder
        self._states = TextCache(encoder, recipe.text.cache_mb)
        self.reader = Reader(recipe, Split.TRAIN)
        self.nets = PredictorNets(recipe.model, encoder.width)
        for part, shares in shares_of(self.reader.surveyed()).items():
            self.nets.part(part).begin_with(shares)
        rules = recipe.optim
        self._optimizer = torch.optim.AdamW(
            self.nets.parameters(),
            lr=rules.lr,
            betas=(rules.beta1, rules.beta2),
            weight_decay=rules.weight_decay,
        )
        self._ema = Ema(self.nets, rules.ema)
        self._judged = self._validation()

    def run(self) -> WeightChoice:
        """All steps; what to keep of the weights on the way."""
        rules, choice = self.recipe, WeightChoice()
        self._report(
            f"{self.reader.samples} samples · {rules.run.steps} steps of {rules.data.batch}, "
            f"judged by {self._judged.looks} looks"
        )
        self._judge(choice, 0)
        for step in range(rules.run.steps):
            self._step(step)
            if (step + 1) % rules.run.validate_every == 0 or step + 1 == rules.run.steps:
                losses = self._judge(choice, step + 1)
                self._report(f"step {step + 1} of {rules.run.steps} · loss on validation: {losses}")
        return choice

    def _step(self, step: int) -> None:
        rules, first = self.recipe, step * self.recipe.data.batch
        looks = self.reader.looks(range(first, first + rules.data.batch))
        if not looks:
            return
        batch = batched(looks)
        self.nets.train()
        for group in self._optimizer.param_groups:
            group["lr"] = rate_at(rules.optim, step, rules.run.steps)
        self._optimizer.zero_grad(set_to_none=True)
        for part, found in look_losses(
            self.nets, self._states.encode(batch.prompts), batch
        ).items():
            loss = found.mean()
            if not math.isfinite(loss.item()):
                raise BadData(
                    f"the loss of {part} at step {step} is {loss.item()}: "
                    "lower optim.lr, or raise optim.warmup_steps"
                )
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.nets.part(part).parameters(), rules.optim.clip)
        self._optimizer.step()
        self._ema.update(step)

    def _judge(self, choice: WeightChoice, step: int) -> str:
        """Offer a step's averaged weights with each trust in the text; returns the losses."""
        with self._ema.playing():
            for trust in TRUSTS:
                self.nets.trust(trust)
                losses = self._judged.losses(self.nets, self._states)
                for part in PredictedPart:
                    weights = {
                        name: value.detach().clone()
                        for name, value in self.nets.part(part).named_parameters()
                    }
                    choice.offer(part, CandidateWeights(weights, trust, losses[part], step))
        return " · ".join(f"{part} {choice.best(part).loss:.3f}" for part in PredictedPart)

    def _validation(self) -> Judged:
        reader, rules = reader_of_validation(self.recipe, self.reader.mean_sentences), self.recipe
        if reader is None or not rules.data.validation:
            self._report(
                "no validation split: the last weights are kept, which may know songs by heart"
            )
            return Judged([])
        positions = range(min(reader.samples, rules.data.validation))
        return Judged(
            [
                look
                for epoch in range(rules.run.visits)
                for look in reader.looks(positions, epoch=epoch)
            ]
        )


def _saved(
    store: Store, recipe: PredictorRecipe, trainer: _PredictorTrainer, choice: WeightChoice
) -> Learned:
    """Write what is kept as a checkpoint.

    There are no moments: a training of minutes is not resumed.
    """
    chosen = {part: choice.proven(part) for part in PredictedPart}
    usual = {part: choice.usual(part).loss for part in PredictedPart}
    weights = {
        f"{part}.{name}": value
        for part, found in chosen.items()
        for name, value in found.weights.items()
    }
    documents = {
        RECIPE: recipe.model_dump(mode="json"),
        STATE: {
            "step": recipe.run.steps,
            "samples": trainer.reader.taken,
            "unusable": trainer.reader.unusable,
            "text": trainer.encoder.identity,
            "validation": {
                part: {
                    "before": _rounded(usual[part]),
                    "after": _rounded(found.loss),
                    "step": found.step,
                    "trust": found.trust,
                }
                for part, found in chosen.items()
            },
            "torch": torch.__version__,
        },
    }
    made = checkpoints.write(
        store, recipe.run.steps, weights={MODEL: weights}, optimizer={}, documents=documents
    )
    return Learned(made.name, {part: (usual[part], found.loss) for part, found in chosen.items()})


def _rounded(loss: float) -> float | None:
    return None if math.isnan(loss) else round(loss, 4)
