"""Facts of a model for its card."""

from typing import Any

from flows.screens.model_card import Figures, FoundCorpus, ModelFacts, model_facts
from pipelines.codecs import open_codec
from tests.pipelines.shards.shard_samples import our_sample
from training.prompt_controls.counting import corpus_statistics
from training.run.corpus_survey import CorpusSurvey, DatasetFacts
from training.run.presets import ready_recipe
from training.run.run_state import RunState

RECIPE = ready_recipe("base")


STATE = RunState(step=40, samples=1280, unusable=3, torch="2.13.0", obbligato="0.1.0")


OURS = DatasetFacts(
    target="/corpora/airs", samples=900, name="Airs", sha256="ab" * 32, obbligato="0.1.0",
    sources={"CC0-1.0": 2, "CC-BY-4.0": 7}, tools={"madmom": "CC-BY-NC-SA-4.0"},
)  # fmt: skip


def facts(*corpora: DatasetFacts, found: list[FoundCorpus | None], **more: Any) -> ModelFacts:
    survey = CorpusSurvey(
        datasets=corpora,
        codec=open_codec("mel").facts,
        latents=True,
        mean_sentences=2.0,
        statistics=corpus_statistics([our_sample()]),
    )
    figures = Figures(train_loss=0.25, validation_loss=0.375)
    return model_facts(
        "night music",
        RECIPE,
        survey,
        STATE,
        checkpoint="checkpoints/step-00000040",
        parameters=63_000_000,
        found=found,
        figures=figures,
        **more,
    )
