"""What a run has to know of its corpora before it begins: sentences per prompt, what is usual in
them, whether they hold latents.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from pydantic import Field, ValidationError

from pipelines.build.tables import DATASET
from pipelines.codecs import Codec, CodecFacts
from pipelines.engine import bucket
from pipelines.errors import DeadInput, PipelineError
from pipelines.shards.find import SUFFIXES, dataset_file
from pipelines.storage.store import Store
from schemas.identity import Split
from schemas.record import Record
from schemas.sample import Sample
from training.data.examples import (
    LATENT,
    ReadingRules,
    guarded,
    members_of,
    sample_in,
    sound_of,
)
from training.data.index import CorpusIndex, index_corpus, read_ranges
from training.data.permutation import KeyedPermutation
from training.data.prompts import PromptConfig, mean_sentences
from training.errors import BadData, TrainingError
from training.prompt_controls.corpus import CorpusStatistics
from training.prompt_controls.counting import corpus_statistics

_AT_ONCE: Final = 64
_RANGED: Final = 256  # samples whose latents are looked at


class DatasetFacts(Record):
    """A corpus that a model learned from, as it was then."""

    target: str
    samples: int
    name: str = ""
    # of its dataset.json: names the recipe, versions and shards; empty for shards of others
    sha256: str = ""
    obbligato: str = ""  # what built it
    sources: dict[str, int] = Field(default_factory=dict)  # clips by licence
    tools: dict[str, str] = Field(default_factory=dict)  # licence of each tool that labelled it


class CorpusSurvey(Record):
    """What is known of the corpora of a run; kept beside its checkpoints."""

    # also those that were learned from before the present ones, which come last
    datasets: tuple[DatasetFacts, ...]
    codec: CodecFacts
    latents: bool  # the shards hold them; else audio is encoded as it is read
    mean_sentences: float
    statistics: CorpusStatistics
    # of the latents, by channel, 0.01 and 99.99 %: what is played stays within
    latent_range: tuple[tuple[float, float], ...] = ()
    longest_s: float = 0.0  # the longest sample looked at; 0 where nobody looked


class CorpusState(NamedTuple):
    """A corpus as it stands."""

    corpus_index: CorpusIndex
    facts: DatasetFacts
    latents_codec: CodecFacts | None  # whose latents its shards hold, where it says so

    def other_codec(self, codec: CodecFacts) -> CodecFacts | None:
        """The codec whose latents it says it holds, where they are none of `codec`."""
        held = self.latents_codec
        return None if held is None or codec.has_latents_of(held) else held


def corpus_state(target: str, file: str = "") -> CorpusState:
    """A corpus by its address; where its samples stand is kept in a file, where one is named.

    Raises `TrainingError` where it has no samples of train, or cannot be read.
    """
    corpus_index, dataset = index_corpus(target, Split.TRAIN, file), dataset_json(target)
    if not dataset:
        return CorpusState(
            corpus_index, DatasetFacts(target=target, samples=len(corpus_index)), None
        )
    try:
        stated = dataset_file(dataset)
        codec = CodecFacts.model_validate(stated.latents) if stated.latents else None
    except DeadInput as error:
        raise TrainingError(f"{target}/{DATASET} cannot be used: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TrainingError(
            f"{target}/{DATASET} cannot be used: latents.{where}: {first['msg']}"
        ) from error
    facts = DatasetFacts(
        target=target,
        samples=len(corpus_index),
        name=stated.name,
        sha256=hashlib.sha256(dataset).hexdigest(),
        obbligato=stated.obbligato,
        sources=stated.licences.sources,
        tools=stated.licences.tools,
    )
    return CorpusState(corpus_index, facts, codec)


def survey_corpora(
    corpora: Sequence[CorpusState], codec: CodecFacts, *, limit: int, seed: int, unusable: float
) -> CorpusSurvey:
    """Look at up to `limit` samples, drawn from all corpora alike.

    Raises `BadData` where more than a share of them are unusable.
    """
    samples = list(_survey_samples([corpus.corpus_index for corpus in corpora], limit, seed))
    good = [sample for sample in samples if sample is not None]
    if len(samples) - len(good) > unusable * len(samples):
        raise BadData(
            f"{len(samples) - len(good)} of {len(samples)} samples "
            f"looked at are unusable (limit {unusable:.1%}): "
            f"`obbligato shards verify {corpora[0].facts.target}` says what is wrong with them"
        )
    facts = tuple(corpus.facts for corpus in corpora)
    return CorpusSurvey(
        datasets=facts,
        codec=codec,
        latents=all(_has_latents(corpus, codec) for corpus in corpora),
        mean_sentences=mean_sentences(good),
        statistics=corpus_statistics(good),
        longest_s=max((sample.duration_s for sample in good), default=0.0),
    )


def latent_range(
    corpora: Sequence[CorpusState],
    survey: CorpusSurvey,
    codec: Codec,
    device: torch.device,
    *,
    frames: int,
    seed: int,
) -> tuple[tuple[float, float], ...]:
    """The range of latents by channel, over samples drawn as the survey's are, of so many frames at
    most; `device` is the codec's.
    """
    facts = codec.facts
    reading = ReadingRules(facts, survey.latents, frames, PromptConfig(), 1.0, seed)
    ends = (0.0001, 0.9999)
    found = []
    for content in _survey_contents([one.corpus_index for one in corpora], _RANGED, seed):
        sound = _sound(content, reading)
        if sound is not None and len(sound):
            latent = sound if survey.latents else codec.encode(sound[None].to(device))[0].cpu()
            found.append(latent.flatten(1).numpy())
    if not found:
        return ()
    bounds_2C = np.quantile(np.concatenate(found, axis=1), ends, axis=1)
    return tuple((round(float(low), 5), round(float(high), 5)) for low, high in bounds_2C.T)


def widened_range(
    bounds: Sequence[tuple[float, float]], latent_CTF: torch.Tensor
) -> tuple[tuple[float, float], ...]:
    """A range that a latent lies in too.

    >>> widened_range([(-1.0, 1.0)], torch.tensor([[[-2.0, 0.5]]]))
    ((-2.0, 1.0),)
    """
    flat_CN = latent_CTF.flatten(1)
    ends = zip(flat_CN.amin(1).tolist(), flat_CN.amax(1).tolist(), strict=True)
    return tuple(
        (min(low, least), max(high, most))
        for (low, high), (least, most) in zip(bounds, ends, strict=True)
    )


def _sound(content: bytes | Exception, reading: ReadingRules) -> torch.Tensor | None:
    try:
        return guarded(content, lambda good: sound_of(members_of(good), reading))
    except DeadInput:
        return None


def _survey_samples(
    corpora: Sequence[CorpusIndex], limit: int, seed: int
) -> Iterator[Sample | None]:
    return (sample_in(content) for content in _survey_contents(corpora, limit, seed))


def _survey_contents(
    corpora: Sequence[CorpusIndex], limit: int, seed: int
) -> Iterator[bytes | Exception]:
    sizes = [len(corpus) for corpus in corpora]
    shuffled = KeyedPermutation(sum(sizes), seed=seed, key="", purpose="survey")
    sampled = sorted(shuffled.at(index) for index in range(min(limit, sum(sizes))))
    for corpus, size in zip(corpora, sizes, strict=True):
        mine = [number for number in sampled if number < size]
        sampled = [number - size for number in sampled if number >= size]
        for numbers in bucket.batches(mine, _AT_ONCE):
            yield from read_ranges([corpus.range_of(number) for number in numbers])


def _has_latents(corpus: CorpusState, codec: CodecFacts) -> bool:
    """Whether samples hold latents, and a build does not say that they are another codec's."""
    if corpus.other_codec(codec) is not None:
        return False
    first = read_ranges([corpus.corpus_index.range_of(0)])[0]
    try:
        return guarded(first, lambda good: LATENT in members_of(good))
    except DeadInput:
        return False


def dataset_json(target: str) -> bytes:
    """The dataset.json of a build; empty for other shards.

    Raises `TrainingError` where it cannot be read.
    """
    store = Store(target)
    try:
        return (
            store.read_bytes(DATASET)
            if not target.endswith(SUFFIXES) and store.exists(DATASET)
            else b""
        )
    except (PipelineError, OSError) as error:
        raise TrainingError(f"{target}/{DATASET} cannot be read: {error}") from error
