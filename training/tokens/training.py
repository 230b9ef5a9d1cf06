"""Training of a masked model of codes, from its recipe to its last checkpoint.

The same call again goes on where the last one stopped; `training/run/step_loop.py` walks the steps.
"""

from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from pipelines.codecs import Codec, open_codec
from pipelines.codecs.token_codec import code_facts, with_codes
from pipelines.errors import DeadInput
from pipelines.shards.find import dataset_file
from schemas.codec import CodecFacts, CodeFacts
from training.data.examples import ReadingRules
from training.diffusion.text_encoder import TextCache, open_text_encoder
from training.errors import TrainingError
from training.excerpts.run import excerpts
from training.run.checkpoints import Checkpoint
from training.run.corpus_survey import CorpusState, CorpusSurvey, dataset_json, survey_corpora
from training.run.fit import shared
from training.run.loop import look_for_shards, remember
from training.run.metrics_log import ReportLine
from training.run.resume import CorpusStart, corpus_start, learned_survey
from training.run.step_loop import RunFolder, StepLoop, Trained, run_in_folder
from training.tokens.learner import DRAWS, EvenShares, ReadyTokens, TokenLearner
from training.tokens.recipe import TokensRecipe

_FIXED: Final = ("codec", "text", "codes", "model")  # what weights depend on
_SURVEYED: Final = 2000  # samples that sentences per prompt and what is usual are taken from


def train_tokens(
    recipe: TokensRecipe,
    out: str,
    report: ReportLine = print,
    at_end: Callable[[], object] = lambda: None,
) -> Trained:
    """Train on corpora's train splits into a folder, from its last checkpoint where it has one.

    Once all steps are done the first process calls `at_end`, as `training/run/loop.py` does.
    SIGTERM or SIGINT ends the run after the step in hand, with a checkpoint. Raises `TrainingError`
    where recipe and folder, shards or machine do not fit together, and `BadData` for too many
    unusable samples or a loss that is not a number.
    """

    def before() -> None:  # in the first process alone
        look_for_shards(recipe)
        remember(recipe.text, recipe.codec, out, report)

    return run_in_folder(
        out,
        recipe.run.device,
        report,
        before=before,
        go=lambda folder, stop: _TokensRun(recipe, folder).go(stop),
        at_end=at_end,
    )


class _TokensRun(StepLoop[ReadyTokens]):
    """One process's part of a run."""

    recipe: TokensRecipe

    def __init__(self, recipe: TokensRecipe, folder: RunFolder) -> None:
        recipe, world = shared(recipe, folder.world), folder.world
        super().__init__(recipe, folder)
        codec = open_codec(recipe.codec.name, recipe.codec.source)
        codes = code_facts(with_codes(codec))
        recipe.codes.check_codec(codes)
        encoder = open_text_encoder(
            recipe.text.source, str(world.device), recipe.text.max_tokens, recipe.text.encoder
        )
        if encoder.width != recipe.model.text_width:
            raise TrainingError(
                f"the text encoder's states are {encoder.width} wide, but the model takes "
                f"{recipe.model.text_width}: set model.text_width={encoder.width}"
            )
        found: tuple[CorpusStart, CorpusSurvey] = world.broadcast(
            lambda: _look(recipe, folder, codec, codes)
        )
        start, survey = found
        for note in start.notes:
            self.report(note)
        reading = _reading(recipe, codec.facts, codes, survey.mean_sentences)
        self._begin(
            TokenLearner(recipe, TextCache(encoder, recipe.text.cache_mb), world),
            excerpts(recipe, reading, start.corpora),
            validation=excerpts(recipe, reading, start.validation, is_validation=True)
            if start.validation
            else None,
            corpus=survey,
            last=start.last,
            damaged=start.damaged,
            start_line=start.line(recipe, world),
        )

    @property
    def _less_memory(self) -> str:
        """What there is to lower."""
        return "lower data.micro_batch or data.seconds"


def _look(
    recipe: TokensRecipe, folder: RunFolder, codec: Codec, codes: CodeFacts
) -> tuple[CorpusStart, CorpusSurvey]:
    """Where a run begins, and what is known of its corpora.

    Raises `TrainingError` where these hold no codes, or another codec's, or the last checkpoint has
    learned another's.
    """
    for target in recipe.data.shards:
        _check_codes(target, codes)
    start = corpus_start(recipe, folder.store, _FIXED, CorpusSurvey)
    if start.last:
        learned_survey(Checkpoint(folder.store, start.last), codec.facts)
    present = start.learned_from.datasets[-len(start.corpora) :]
    survey = survey_corpora(
        [CorpusState(*one, None) for one in zip(start.corpora, present, strict=True)],
        codec.facts,
        limit=_SURVEYED,
        seed=recipe.run.seed,
        unusable=recipe.data.unusable,
    )
    return start, survey.replaced(datasets=start.learned_from.datasets)


def _check_codes(target: str, codes: CodeFacts) -> None:
    """Raise `TrainingError` where a build says that its shards hold no codes, or another codec's;
    shards of others show it as they are read.
    """
    dataset = dataset_json(target)
    if not dataset:
        return
    try:
        stated = dataset_file(dataset).codes
        found = CodeFacts.model_validate(stated) if stated else None
    except (DeadInput, ValidationError) as error:
        raise TrainingError(f"{target}/dataset.json cannot be used: {error}") from error
    if found is None:
        raise TrainingError(
            f"{target} holds no codes: `obbligato encode {target} --codec {codes.codec} --codes` "
            "puts them into its shards"
        )
    if found != codes:
        raise TrainingError(
            f"{target} holds codes of {found.codec} {found.version}, but the codec here is "
            f"{codes.codec} {codes.version}: name that one's weights in codec.source, or encode "
            "again"
        )


def _reading(
    recipe: TokensRecipe, facts: CodecFacts, codes: CodeFacts, mean_sentences: float
) -> ReadingRules:
    """How samples are read: codes as if each book were a channel of a latent."""
    return ReadingRules(
        facts=facts.replaced(channels=codes.books, bands=1),
        reads_latents=False,
        frames=facts.frames(round(recipe.data.seconds * facts.rate_hz)),
        prompts=recipe.prompts,
        mean_sentences=mean_sentences,
        seed=recipe.run.seed,
        rows=recipe.model.rows,
        objective=EvenShares(),
        batch=recipe.data.batch,
        without=frozenset(recipe.data.without),
        draws=DRAWS,
        codes=codes,
    )
