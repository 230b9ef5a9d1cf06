"""Clips that a model of ours generates for an evaluation, as files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import soundfile

from pipelines.engine import bucket
from pipelines.storage.store import sha256_of
from schemas.labels import Labels
from training.conditions.clip_controls import ClipControls
from training.errors import TrainingError
from training.evaluation.clips import CheckpointFacts, MadeClip, ScoredListing, Skipped
from training.evaluation.targets import TargetPrompt
from training.generation.generate import GenerationRequest, Generator
from training.metrics.timing import timing_of
from training.prompt_controls.resolve import resolve_controls
from training.run.checkpoints import find_checkpoint


class _PlayRequest(NamedTuple):
    """A prompt and the labels that the model is conditioned on for it."""

    prompt: TargetPrompt
    labels: Labels


def generate_clips(
    generator: Generator,
    prompts: Sequence[TargetPrompt],
    folder: Path,
    *,
    seed: int,
    watch: Callable[[int], None],
) -> ScoredListing:
    """Generate a clip for every prompt into a folder; what a prompt leaves open is filled from the
    model's corpus, and not asked for.

    A prompt with a swapped control begins with the same noise as the prompt that it comes from, and
    what both leave open is filled alike: what differs is the control, and what follows from it. A
    prompt that cannot be resolved, such as one of more chords than beats, is skipped. Raises
    `TrainingError` where none can.
    """
    checkpoint = checkpoint_facts(generator.name).replaced(refined_by=generator.refined_by)
    captions = {one.name: one.caption for one in prompts}
    requests = [_play_request(generator, one, captions, seed) for one in prompts]
    made: list[MadeClip] = []
    for part in bucket.batches(
        [one for one in requests if isinstance(one, _PlayRequest)],
        generator.recipe.data.micro_batch,
    ):
        made += _batch(generator, part, folder, seed)
        watch(len(made))
    skipped = tuple(one for one in requests if isinstance(one, Skipped))
    if not made:
        why = f"; the first, {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise TrainingError(f"{generator.name} can play none of the {len(prompts)} prompts{why}")
    return ScoredListing(generator.name, tuple(made), skipped, checkpoint)


def checkpoint_facts(target: str) -> CheckpointFacts:
    """The name of a checkpoint, and the SHA-256 of the weights that play.

    Raises `TrainingError` where there is none.
    """
    checkpoint = find_checkpoint(target, files=())  # whoever played has compared the rest
    with checkpoint.store.open(checkpoint.file(checkpoint.played)) as opened:
        return CheckpointFacts(name=checkpoint.name, sha256=sha256_of(opened))


def _play_request(
    generator: Generator, one: TargetPrompt, captions: Mapping[str, str], seed: int
) -> _PlayRequest | Skipped:
    original = captions.get(one.swap_of, "")
    length_s, statistics = generator.seconds, generator.survey.statistics
    try:
        resolved = resolve_controls(
            one.caption,
            duration_s=length_s,
            statistics=statistics,
            seed=seed,
            changed_from=original,
        )
    except TrainingError as error:
        return Skipped(one.name, str(error))
    return _PlayRequest(one, resolved.labels)


def _batch(
    generator: Generator, part: Sequence[_PlayRequest], folder: Path, seed: int
) -> Iterator[MadeClip]:
    scores = [
        GenerationRequest(one.swap_of or one.name, one.caption, ClipControls(labels))
        for one, labels in part
    ]
    waves = generator.play_refined(scores, seed=seed)
    for (one, labels), wave in zip(part, waves, strict=True):
        path = folder / f"{one.name}.flac"
        soundfile.write(path, wave, generator.rate_hz, subtype="PCM_16")
        yield MadeClip(
            one.name,
            one.caption,
            one.requested,
            str(path),
            timing_of(labels),
            one.swap_of,
            one.reference,
        )
