"""Stage *vary*: the original and its copies in other pitches, speeds and volumes, as FLAC, and the
controls of each.
"""

import importlib.metadata
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.audio import decode, rubberband
from pipelines.audio.controls import controls_of
from pipelines.audio.decode import Wave, flac, quantised, read_window, resampled, within_scale
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, VARIANTS, VERDICTS
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.errors import DeadInput
from pipelines.samples.moved_labels import planned_variants
from pipelines.storage.tar import TarWriter
from schemas.controls import AudioControls
from schemas.corpus import AudioCopy, Augmented, Change, Clip, Verdict
from schemas.identity import VariantKind, keyed_rng, sample_key, variant_kind, variant_semitones
from schemas.recipe import Recipe, VaryRecipe
from schemas.sample import audio_name

_SPEED_DECIMALS: Final = 4
_FADE_S: Final = 0.005  # a cut in mid-sound clicks; 5 ms is under a beat tracker's frame


class AugmentRequest(NamedTuple):
    """A clip whose variants are to be made."""

    key: str
    path: str
    start_s: float
    length_s: float
    extended_s: float
    changes: tuple[Change, ...]


class Copy(NamedTuple):
    """A variant as made: its FLAC bytes, its length, and what is measured on them, decoded."""

    content: bytes
    duration_s: float
    controls: AudioControls
    lower: tuple[bytes, ...]  # the same at the recipe's lower rates


def planned_changes(clip: Clip, verdict: Verdict, recipe: Recipe) -> tuple[Change, ...]:
    """The changes to make on a kept clip, each sampled by the clip's key and the variant's name."""
    names = planned_variants(clip, recipe.vary) if verdict.vary else ("orig",)
    return tuple(_sampled_change(clip.clip_key, name, recipe) for name in names)


def _sampled_change(key: str, variant: str, recipe: Recipe) -> Change:
    kind = variant_kind(variant)
    vary, rng = recipe.vary, keyed_rng(recipe.corpus.seed, key, variant)
    if kind is VariantKind.SPEED:
        size = round(float(rng.uniform(vary.speed_min, vary.speed_max)), _SPEED_DECIMALS)
        slower = int(variant[1:]) <= vary.speeds // 2
        return Change(
            variant=variant, speed=round(1 - size if slower else 1 + size, _SPEED_DECIMALS)
        )
    if kind is VariantKind.VOLUME:
        low = round(float(rng.uniform(vary.volume_min, vary.volume_max)), _SPEED_DECIMALS)
        rises = bool(rng.random() < 0.5)
        return Change(
            variant=variant, gain_start=low if rises else 1.0, gain_end=1.0 if rises else low
        )
    return Change(variant=variant, semitones=variant_semitones(variant))


def make_copies(orders: Sequence[AugmentRequest], recipe: VaryRecipe) -> list[list[Copy] | Death]:
    """FLAC of every variant of each clip; runs in a worker's child."""
    return [_copies(order, recipe) for order in orders]


def _copies(order: AugmentRequest, recipe: VaryRecipe) -> list[Copy] | Death:
    try:
        excerpt = read_window(
            order.path, order.start_s, order.start_s + order.extended_s, stereo=recipe.channels == 2
        )
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
    work_hz = rubberband.working_rate_hz(recipe.rate_hz, recipe.semitones)
    wave = resampled(excerpt.wave, excerpt.rate_hz, work_hz)
    own_samples = round(order.length_s * work_hz)
    return [_copy(wave, own_samples, work_hz, change, recipe) for change in order.changes]


def _copy(wave: Wave, own_samples: int, work_hz: int, change: Change, recipe: VaryRecipe) -> Copy:
    if change.speed != 1:
        augmented = rubberband.changed(
            wave, work_hz, speed=change.speed, semitones=0, engine=recipe.engine
        )[:own_samples]
    else:
        augmented = wave[:own_samples]
        if change.semitones:
            augmented = rubberband.changed(
                augmented, work_hz, speed=1.0, semitones=change.semitones, engine=recipe.engine
            )[:own_samples]
    return rendered(
        _faded(_ramped(augmented, change), work_hz, cut=change.speed < 1), work_hz, recipe
    )


def rendered(wave: Wave, work_hz: int, recipe: VaryRecipe) -> Copy:
    """A sample's sound as shards hold it, at the recipe's rates."""
    final = quantised(within_scale(resampled(wave, work_hz, recipe.rate_hz)))
    lower = tuple(flac(within_scale(resampled(wave, work_hz, hz)), hz) for hz in recipe.copies_hz)
    return Copy(
        flac(final, recipe.rate_hz),
        round(len(final) / recipe.rate_hz, 6),
        controls_of(final, recipe.rate_hz),
        lower,
    )


def _ramped(wave: Wave, change: Change) -> Wave:
    if change.gain_start == change.gain_end == 1:
        return wave
    ramp = np.linspace(change.gain_start, change.gain_end, len(wave), dtype=np.float32)
    return wave * (ramp if wave.ndim == 1 else ramp[:, None])


def _faded(wave: Wave, rate_hz: int, *, cut: bool) -> Wave:
    """A slowed-down copy is cut before its music ends: fade the last milliseconds."""
    size = min(len(wave), round(_FADE_S * rate_hz))
    if not cut or not size:
        return wave
    fade = np.ones(len(wave), np.float32)
    fade[-size:] = np.linspace(1, 0, size, dtype=np.float32)
    return wave * (fade if wave.ndim == 1 else fade[:, None])


def vary_bucket(job: Job) -> Done:
    """Make every sample's audio of a bucket into one tar, with an index beside it."""
    verdicts = {row.clip_key: row for row in VERDICTS.read(job)}
    kept = [
        clip
        for clip in CLIPS.read(job)
        if clip.clip_key in verdicts and verdicts[clip.clip_key].keep
    ]
    made: list[Augmented] = []
    dead: list[tuple[str, Death]] = []
    with (
        bucket.local_files(job) as local,
        bucket.child(job.recipe.limits) as child,
        VARIANTS.writer(job) as out,
    ):
        tar = TarWriter(out)
        for clip in kept:
            changes = planned_changes(clip, verdicts[clip.clip_key], job.recipe)
            order = AugmentRequest(
                clip.clip_key,
                local(clip.source),
                clip.start_s,
                clip.length_s,
                clip.extended_end_s - clip.start_s,
                changes,
            )
            [copies] = child.run(make_copies, [order], job.recipe.vary)
            if isinstance(copies, Death):
                dead.extend(
                    (sample_key(clip.clip_key, change.variant), copies) for change in changes
                )
            else:
                made += [
                    packed(tar, clip.clip_key, change, copy, job.recipe.vary)
                    for change, copy in zip(changes, copies, strict=True)
                ]
            bucket.progress(1)
        tar.close()
    files = [out.published(), VARIANTS.write(job, made), *bucket.write_dead(job, VARIANTS, dead)]
    return Done(files, {"clips": len(kept), "samples": len(made), "dead": len(dead)})


def packed(tar: TarWriter, key: str, change: Change, copy: Copy, recipe: VaryRecipe) -> Augmented:
    """Write a sample's sound into a tar; gives where it stands, and what it is."""
    name = sample_key(key, change.variant)
    offset = tar.add(audio_name(name), copy.content)
    lower = tuple(
        AudioCopy(rate_hz=hz, offset=tar.add(audio_name(name, hz), content), bytes=len(content))
        for hz, content in zip(recipe.copies_hz, copy.lower, strict=True)
    )
    return Augmented(
        sample_key=name,
        clip_key=key,
        change=change,
        duration_s=copy.duration_s,
        controls=copy.controls,
        offset=offset,
        bytes=len(copy.content),
        copies=lower,
    )


def tools(recipe: Recipe) -> dict[str, str]:
    """Versions of what makes the audio."""
    return {
        **rubberband.tools(recipe.vary.engine),
        **decode.tools(),
        "scipy": importlib.metadata.version("scipy"),
    }


STAGE: Final = Stage(
    name="vary",
    version=5,
    reads=(CLIPS, VERDICTS),
    writes=(VARIANTS,),
    knobs=("vary",),
    run=vary_bucket,
    tools=tools,
)
