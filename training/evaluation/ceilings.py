"""Recordings of the prompts that clips were made for, and what a codec leaves of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import soundfile
import torch

from pipelines.audio.decode import Wave, decoded_at
from pipelines.codecs import Codec, CodecFacts
from pipelines.codecs.layout import for_codec, for_files, with_channels
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput
from pipelines.shards.find import find_shards
from pipelines.shards.read import RawSample
from schemas.recipe import Recipe
from schemas.sample import Sample
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import EstimatedClip, estimate
from training.evaluation.originals import held_out, originals
from training.metrics.timing import timing_of

_AT_ONCE: Final = 16  # recordings in memory


class CodecOn(NamedTuple):
    """A codec and where its numbers are."""

    codec: Codec
    device: torch.device


class Ceilings(NamedTuple):
    """Recordings and their codec round trips, annotated, by the key of their sample."""

    recordings: Mapping[str, EstimatedClip]
    codec: Mapping[str, EstimatedClip]
    codec_name: str = ""


class ReadTask(NamedTuple):
    """A file to decode as a codec takes it."""

    path: str
    facts: CodecFacts


def read_ceilings(
    made: Sequence[MadeClip],
    target: str,
    folder: Path,
    recipe: Recipe,
    *,
    codec: CodecOn | None = None,
    watch: Callable[[int], None] = lambda _: None,
) -> Ceilings:
    """The samples of a target's held-out shards that clips refer to, and with a codec what it
    leaves of them, each annotated as clips are; files go into a folder. `watch` is called with the
    number annotated.

    A sample that cannot be decoded or annotated is left out.
    """
    wanted = {one.reference: one for one in made if one.reference and not one.swap_of}
    recordings = list(_recordings(wanted, target, folder))
    tripped = list(_round_trips(recordings, folder, recipe, codec)) if codec else []
    done = 0
    found: list[dict[str, EstimatedClip]] = [{}, {}]
    for by_key, clips in zip(found, (recordings, tripped), strict=True):
        for one in estimate(clips, recipe):
            done += 1
            watch(done)
            if one.labels:
                by_key[one.made.reference] = one
    name = codec.codec.facts.name if codec else ""
    return Ceilings(found[0], found[1], name)


def _recordings(wanted: Mapping[str, MadeClip], target: str, folder: Path) -> Iterator[MadeClip]:
    """Samples with the prompts that were made of them, held to when their own labels say."""
    left = dict(wanted)
    shards, _ = held_out(find_shards(target).shards)
    for raw, sample in originals(shards):
        made = left.pop(raw.key, None) if sample else None
        content = _content(raw) if made else None
        if sample and made and content:
            yield _written(sample, made, content, folder)
        if not left:
            return


def _content(raw: RawSample) -> bytes | None:
    try:
        return raw.content(raw.audio) if raw.audio else None
    except DeadInput:
        return None


def _written(sample: Sample, made: MadeClip, content: bytes, folder: Path) -> MadeClip:
    path = folder / f"{sample.key}-recording.flac"
    path.write_bytes(content)
    return MadeClip(
        sample.key,
        made.caption,
        made.requested,
        str(path),
        timing_of(sample.labels),
        reference=sample.key,
        curves=made.curves,
    )


def _round_trips(
    recordings: Sequence[MadeClip], folder: Path, recipe: Recipe, codec: CodecOn
) -> Iterator[MadeClip]:
    rate_hz = codec.codec.facts.rate_hz
    with bucket.child(recipe.limits) as child:
        for batch in bucket.batches(recordings, _AT_ONCE):
            tasks = [ReadTask(one.path, codec.codec.facts) for one in batch]
            for one, wave in zip(batch, child.run(read_waves, tasks, None), strict=True):
                if not isinstance(wave, Death):
                    path = folder / f"{one.name}-codec.flac"
                    heard = round_trip(wave, codec)
                    soundfile.write(path, heard, rate_hz, subtype="PCM_16")
                    yield one._replace(path=str(path))


def read_waves(tasks: Sequence[ReadTask], _: None) -> list[Wave | Death]:
    """Waves of small files; runs in a worker's child."""
    found: list[Wave | Death] = []
    for task in tasks:
        try:
            content, facts = Path(task.path).read_bytes(), task.facts
            found.append(decoded_at(content, facts.rate_hz, stereo=facts.is_stereo))
        except DeadInput as error:
            found.append(Death(error.code, error.message, error.figure))
    return found


def round_trip(wave: Wave, codec: CodecOn) -> Wave:
    """What a codec leaves of a wave at its rate, as long as that is, with the codec's channels."""
    taken = with_channels(wave, codec.codec.facts)
    with torch.no_grad():
        [made] = for_files(
            codec.codec.decode(codec.codec.encode(for_codec([taken]).to(codec.device)))
        )
    return made[: len(wave)]
