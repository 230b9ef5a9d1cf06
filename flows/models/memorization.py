"""Whether songs were learned by heart, as an evaluation asks: which corpora are searched, what a
model plays for it, both sounds of each pair into the report, and a limit.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flows.errors import UsageError
from schemas.identity import Split

if TYPE_CHECKING:  # torch comes with them
    from training.evaluation.clips import ScoredListing
    from training.evaluation.memorization.memorization import FoundMemorized, SearchedCorpora
    from training.evaluation.memorization.memorized import MemorizationReport
    from training.evaluation.report import EvaluationReport
    from training.generation.generate import Generator

Progress = Callable[[str, int], Callable[[int], None]]


class MemorizationRequest(NamedTuple):
    """What is searched, and what a model plays for it."""

    generator: "Generator | None"  # none: clips of another system
    shards: str  # with held-out music
    learned_from: tuple[str, ...]  # whose train shards are searched; `shards`, if empty
    prompts: int  # training captions that the model plays
    seed: int


def look_for_memorized(
    listing: "ScoredListing", request: MemorizationRequest, folder: Path, progress: Progress
) -> "FoundMemorized":
    """Compare clips, and what a model plays by captions that it learned from, with what was
    learned from; swaps count no more than elsewhere.

    Raises `UsageError` where no corpus is named, `TrainingError` where one has no samples of train.
    """
    from training.data.index import index_corpus
    from training.evaluation.ceilings import CodecOn
    from training.evaluation.memorization.memorization import SearchedCorpora, memorization
    from training.evaluation.memorization.memorized import PlayedClip
    from training.evaluation.memorization.training_prompts import play_training_prompts

    if not request.shards:
        raise UsageError(
            "songs learned by heart are looked for in the train shards of a corpus: "
            "name it after what is evaluated"
        )
    learned = request.learned_from or (request.shards,)
    samples = sum(len(index_corpus(target, Split.TRAIN)) for target in learned)
    played = [
        PlayedClip(one.name, one.caption, one.path) for one in listing.made if not one.swap_of
    ]
    corpora, codec = SearchedCorpora(learned, request.shards), None
    generator = request.generator
    if generator:
        codec = CodecOn(generator.codec, generator.device)
        corpora = _with_others(corpora, generator)
        if request.prompts:
            played += play_training_prompts(
                generator,
                learned,
                folder,
                request.prompts,
                seed=request.seed,
                watch=progress("played by training captions", request.prompts),
            )
    return memorization(
        played,
        corpora,
        folder,
        codec=codec,
        seed=request.seed,
        watch=progress("training samples compared", samples),
    )


def _with_others(corpora: "SearchedCorpora", generator: "Generator") -> "SearchedCorpora":
    """Corpora, and those that a model learned from and that are none of them: by the hash of their
    dataset.json, or by address where they have none.
    """
    from training.run.corpus_survey import corpus_state

    known = {corpus_state(target).facts.sha256 for target in corpora.learned} - {""}
    others = [
        facts.name or facts.target
        for facts in generator.survey.datasets
        if facts.sha256 not in known and facts.target not in corpora.learned
    ]
    return corpora._replace(not_searched=tuple(others))


def with_pairs(
    found: "FoundMemorized", folder: Path, audio: str, show: int
) -> "MemorizationReport":
    """Copy both sounds of the likeliest `show` copies into a report's folder; returns what names
    them.
    """
    clips = list(found.report.clips)
    likeliest = sorted(range(len(clips)), key=lambda number: clips[number].likelihood, reverse=True)
    for number in likeliest[:show]:
        names = []
        for what, source in zip(("played", "learned"), found.sounds[number], strict=True):
            name = f"{audio}/memorized-{number:04d}-{what}{Path(source).suffix.lower()}"
            if source:
                shutil.copyfile(source, folder / name)
            names.append(name if source else "")
        clips[number] = clips[number].replaced(audio=names[0], nearest_audio=names[1])
    return found.report.replaced(clips=tuple(clips))


def check_memorized(report: "EvaluationReport", limit: float | None) -> None:
    """Raise `UsageError` where a larger share of what was played than `limit` is copied, or nearer
    to what was learned from than 99 % of held-out music.
    """
    if limit is None or report.memorized is None:
        return
    shares = report.memorized.all_played
    over = [one for one in (shares.copies, shares.nearer) if one and one.value > limit]
    if over:
        raise UsageError(
            f"{100 * over[0].value:.1f} % of {over[0].clips} are {over[0].meaning}, the limit is "
            f"{100 * limit:g} % (max_memorized): learn from more songs, or for fewer steps"
        )
