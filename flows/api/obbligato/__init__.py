"""Obbligato from Python: `build` a corpus, `open` one, `annotate` a file, `sample` a model.

Importing this package loads nothing else; each function loads what it needs. Paths may begin with
``~``, and wherever a folder is expected a URL that fsspec knows will do. What goes wrong is raised
as the command line would say it: `PipelineError` of pipelines.errors where a file or a setting does
not fit, `UsageError` of flows.errors for a call that asks for what cannot be, `TrainingError` of
training.errors from a model, and `MissingExtra` of pipelines.extras where a package is not there.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from flows.build.run_stage import StepProgress
    from schemas.dataset import Dataset
    from schemas.labels import Labels
    from schemas.recipe import Recipe
    from schemas.sample import Sample
    from training.data.records import SampleRecords, SampleStream

    Wave = npt.NDArray[np.float32]

__all__ = ("Build", "SampleWave", "SampledPiece", "annotate", "build", "open", "sample")

Address = str | os.PathLike[str]
Knobs = Mapping[str, object]
_NO_KNOBS: Final[Knobs] = MappingProxyType({})


class SampleWave(NamedTuple):
    """A sample's record, and its audio: mono float32 within [-1, 1] at ``sample.rate_hz``."""

    sample: "Sample"
    wave: "Wave"


@dataclass(frozen=True, kw_only=True)
class Build:
    """A corpus that `build` made or `open` found, as its address alone: each call reads anew."""

    address: str  # a build, a folder of tars, a glob, a tar, or a URL of these

    @property
    def dataset(self) -> "Dataset":
        """The build's dataset.json: totals, agreement, versions, licences, the shards in force.

        Raises `PipelineError` where there is none, as beside shards of somebody else.
        """
        from pipelines.build.tables import DATASET
        from pipelines.errors import PipelineError
        from pipelines.stages.output.close import stated_dataset
        from pipelines.storage.store import Store

        store = Store(self.address)
        if not store.exists(DATASET):
            raise PipelineError(f"{self.address} holds no {DATASET}: it is not a finished build")
        return stated_dataset(store)

    @property
    def shards(self) -> tuple[str, ...]:
        """Paths or URLs of the shards in force, in order, as `webdataset` takes them."""
        from pipelines.shards.find import find_shards

        return tuple(shard.url for shard in find_shards(self.address).shards)

    def samples(self, *, split: str = "") -> Iterator[SampleWave]:
        """Samples with their audio, shard by shard; of one split, or of all.

        Raises `PipelineError` at what cannot be read, and at samples that Obbligato did not write:
        `webdataset` reads those. ``obbligato shards verify`` lists everything that is wrong.
        """
        from pipelines.shards.find import find_shards
        from pipelines.shards.read import read_shard
        from schemas.identity import Split

        requested = Split(split) if split else None
        for shard in find_shards(self.address).shards:
            if requested is not None and shard.split not in (None, requested):
                continue
            for found in map(_sample_wave, read_shard(shard)):
                if requested is None or found.sample.split is requested:
                    yield found

    def __iter__(self) -> Iterator[SampleWave]:
        """All samples."""
        return self.samples()

    def records(self, *, split: str = "train") -> "SampleRecords":
        """Samples of a split by number, as a torch `Dataset`: ``records[3].sample.key``.

        Needs the extra `train`. Raises `TrainingError` where there are none.
        """
        from pipelines.extras import naming_extras
        from schemas.identity import Split

        with naming_extras("train"):
            from training.data.records import SampleRecords

        return SampleRecords(self.address, Split(split))

    def stream(self, *, split: str = "train", seed: int = 0, workers: int = 0) -> "SampleStream":
        """Samples of a split as a torch `IterableDataset`, in another order each epoch.

        `state_dict` says where it stands, after any sample; `load_state_dict` goes on there, with
        any number of `workers` that read ahead. Needs the extra `train`.
        """
        from pipelines.extras import naming_extras

        records = self.records(split=split)
        with naming_extras("train"):
            from training.data.records import SampleStream

        return SampleStream(records, seed=seed, workers=workers)

    def verify(
        self, *, workers: int = 1, watch: "Callable[[StepProgress], None] | None" = None
    ) -> "Dataset":
        """Read a build back whole: checksums, contract, identities, splits, labels extracted again.

        Returns dataset.json, with the agreement measured now.

        Raises `PipelineError` that says what is not as it was written, and where.
        """
        from flows.build.local import verify_build
        from pipelines.beam.options import Engine

        return verify_build(self.address, Engine(workers), watch or _silent)


class SampledPiece(NamedTuple):
    """Music that a model made: the labels it was given, and float32 within [-1, 1], (samples,) or,
    of a stereo codec, (samples, 2); of a steered piece lines on how near its sound came.
    """

    labels: "Labels"
    wave: "Wave"
    rate_hz: int
    near: tuple[str, ...] = ()


def build(
    sources: Address | Sequence[Address],
    out: Address,
    *,
    recipe: "Recipe | Address | None" = None,
    knobs: Knobs = _NO_KNOBS,
    workers: int = 1,
    shrink: bool = False,
    watch: "Callable[[StepProgress], None] | None" = None,
) -> Build:
    """Build a corpus from music, or finish one: what is done from the same inputs is left as it is.

    `sources` are folders, globs, files, manifests or shards. `recipe` is a ready one's name, a file
    of TOML or a `Recipe`; `knobs` lie over it by section and name, as in
    ``{"ingest.clip_s": 8.0}``. `workers` are processes of this machine. `shrink` lets many songs go
    that an earlier build has. `watch` is called with the progress of each step.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as empty:
    ...     build(empty, empty + "/corpus")
    Traceback (most recent call last):
    flows.errors.UsageError: nothing to build from in ...: no files
    """
    from flows.build.local import build as run_build
    from pipelines.beam.options import Engine
    from pipelines.extras import naming_extras

    named = [sources] if isinstance(sources, str | os.PathLike) else sources
    address = _address(out)
    with naming_extras():
        run_build(
            [_address(source) for source in named],
            address,
            _recipe(recipe, knobs),
            Engine(workers),
            watch or _silent,
            shrink=shrink,
        )
    return Build(address=address)


def open(address: Address) -> Build:
    """A corpus that is there: a build, or any shards of ours by a folder, a glob, a file or a URL.

    Raises `PipelineError` where there are no shards, `WrongArgument` where there is nothing.

    >>> open("nowhere")
    Traceback (most recent call last):
    pipelines.errors.WrongArgument: nowhere does not exist: name a build, a folder of tars, ...
    """
    from pipelines.shards.find import find_shards

    found = Build(address=_address(address))
    find_shards(found.address)
    return found


def annotate(
    file: Address, *, recipe: "Recipe | Address | None" = None, knobs: Knobs = _NO_KNOBS
) -> "Labels":
    """Beats, meter, tempo, chords and key of a whole audio file, each with its confidence.

    `recipe` and `knobs` are as for `build`.

    Raises `PipelineError` for a file that cannot be read.

    >>> annotate("nowhere.wav")
    Traceback (most recent call last):
    pipelines.errors.PipelineError: nowhere.wav: ...
    """
    from pipelines.errors import PipelineError
    from pipelines.extras import naming_extras
    from pipelines.reports.annotate_files import annotate_files

    with naming_extras():
        [found] = annotate_files([_address(file)], _recipe(recipe, knobs))
    if found.labels is None:
        raise PipelineError(f"{found.path}: {found.problem}")
    return found.labels


def sample(
    caption: str,
    *,
    model: Address,
    bpm: float | None = None,
    meter: str | int | None = None,
    key: str | None = None,
    chords: Address | None = None,
    beats: Address | None = None,
    melody: Address | None = None,
    intensity: Address | float | None = None,
    density: Address | float | None = None,
    sections: Sequence[Address] = (),
    going_on_from: Address | None = None,
    fill: str | None = None,
    of: Address | None = None,
    keep: str | None = None,
    loop: bool = False,
    form: Address | None = None,
    by: str | None = None,
    iterations: int | None = None,
    seconds: float | None = None,
    start: float | None = None,
    total: float | None = None,
    seed: int = 0,
    guidance: float | None = None,
    steps: int | None = None,
    sampler: str | None = None,
    gamma: float | None = None,
    vocoder: Address = "",
    upsample: Address = "",
    device: str = "auto",
) -> SampledPiece:
    """Music for a caption, by a model that `obbligato train` made. Same arguments, same music.

    `model` is a checkpoint, or the folder of a training run. `bpm`, `meter` (as in ``"3/4"``),
    `key` (``"A minor"``) and `chords` (``"Am F C G"``: one a bar, from the top again) win over the
    caption; what neither says is filled from the corpus of the model. `chords` and `key` may have
    times (``"0-4: Am F; 6-8: C"``); `beats` are tempos with times (``"0-5: 90; 5-10: 120"``),
    `melody` notes (``"C4 D4 E4:2"``), `intensity` a level or points in dB (``"0:-30 5:-12"``),
    `density` notes a second. Each may be a file, as for ``obbligato sample``. What is asked for a
    part of the time is the model's own elsewhere. `sections` are parts with words and controls of
    their own (``"0-5: A calm flute; chords=Am F"``).

    `going_on_from` is a recording after which the music begins; `fill` a part of the recording `of`
    that is played anew (``"4-6"``); `loop` asks for whole bars that go round, with `of` for a way
    from its end to its beginning; `form` is ``"ABA"``, or a recording. `by` says how curves and
    forms are followed (``"condition"``, ``"guide"``, ``"optimise"``), `iterations` how often noise
    is moved at most. `keep` says which codes of the recording `of` stay while a model of codes
    plays the rest anew (``"beats"``, ``"every 8"``, ``"books 1"``). What is longer than the model
    plays at once is played window after window. `start` is where in a whole of `total` seconds the
    piece begins, for a model that is told so. `seconds`, `guidance`, `steps`, `sampler` and, of a
    student, `gamma` are the model's own where they are None. `vocoder` and `upsample` are folders
    of what plays levels in place of Griffin-Lim, and of what brings the sound to a higher rate
    (`obbligato train vocoder`, `upsampler`); the vocoder ``"none"`` is Griffin-Lim, whatever the
    model's recipe names.

    Raises `TrainingError` where there is no such model, or a request cannot be read.

    >>> sample("A calm song", model="nowhere")
    Traceback (most recent call last):
    training.errors.TrainingError: ...
    """
    from pipelines.extras import naming_extras

    with naming_extras("train"):
        from flows.models.code_pieces import CodesAsking, codes_player, play_codes
        from flows.models.playing import play_request
        from flows.models.sampling import SamplerOptions, sampling_request
        from training.generation.generate import Generator
        from training.generation.refiners import Refiners
        from training.timed_controls.options import ControlOptions
        from training.timed_controls.place import PiecePlace
        from training.timed_controls.steer_options import steer_options
        from training.tokens.player import TokenPlayer, is_tokens_run

        address, refiners = _address(model), Refiners(_address(vocoder), _address(upsample))
        options = ControlOptions(
            bpm=bpm,
            meter=meter,
            key=key,
            chords=_text(chords),
            beats=_text(beats),
            melody=_text(melody),
            intensity=_text(intensity),
            density=_text(density),
            sections=tuple(os.fspath(section) for section in sections),
        )
        steer = steer_options(
            going_on_from=_text(going_on_from),
            fill=fill,
            of=_text(of),
            loop=loop,
            form=_text(form),
            by=by,
            iterations=iterations,
            keep=keep,
        )
        chosen, place = SamplerOptions(guidance, steps, sampler, gamma), PiecePlace(start, total)
        opened: TokenPlayer | Generator
        if is_tokens_run(address):
            opened = codes_player(address, device, steer)
        else:
            opened = Generator.of(address, device, refiners)
    if isinstance(opened, TokenPlayer):
        codes = CodesAsking(
            opened, options, seconds, seed, chosen, None, steer, place=place, refiners=refiners
        ).request(caption)
        [piece] = play_codes(opened, codes, ["0"], seed)
        return SampledPiece(piece.labels, piece.wave, opened.rate_hz)
    request = sampling_request(
        opened,
        caption,
        options,
        seconds=seconds,
        seed=seed,
        sampler=chosen,
        steer=steer,
        place=place,
    )
    played = play_request(opened, request, seed)
    return SampledPiece(played.labels, played.wave, opened.rate_hz, played.near)


def _text(value: Address | float | None) -> str | None:
    """A text, a file or a number as the command line would have it."""
    if value is None:
        return None
    return os.fspath(value) if isinstance(value, str | os.PathLike) else f"{value:g}"


def _address(address: Address) -> str:
    """An address as text; ``~`` is the home folder, as a shell reads it."""
    return os.path.expanduser(os.fspath(address))


def _recipe(recipe: "Recipe | Address | None", knobs: Knobs) -> "Recipe":
    """The recipe that a caller means. Raises `UsageError` naming each value that does not fit."""
    from flows.build.recipe_files import load_recipe, validated

    if recipe is None or isinstance(recipe, str | os.PathLike):
        recipe = load_recipe(None if recipe is None else Path(_address(recipe)), [])
    values = recipe.model_dump(mode="json")
    for name, value in knobs.items():
        section, _, knob = name.partition(".")
        values.setdefault(section, {})[knob] = value
    return validated(values)


def _sample_wave(entry: Any) -> SampleWave:
    """An entry of a shard as a sample of ours with its sound."""
    from pipelines.audio.decode import decoded
    from pipelines.errors import DeadInput, PipelineError
    from pipelines.shards.find import ShardProblem
    from pipelines.shards.read import as_ours

    where = f"{entry.shard}, {entry.key}" if entry.key else entry.shard
    ours = entry if isinstance(entry, ShardProblem) else as_ours(entry)
    if isinstance(ours, ShardProblem):
        raise PipelineError(f"{where}: {ours.message}")
    if ours is None or entry.audio is None:
        raise PipelineError(f"{where}: not a sample of Obbligato; `webdataset` reads such shards")
    try:
        return SampleWave(ours, decoded(entry.content(entry.audio)).wave)
    except DeadInput as error:
        raise PipelineError(f"{where}: its audio cannot be used: {error}") from error


def _silent(_: "StepProgress") -> None:
    """Progress that nobody watches."""
