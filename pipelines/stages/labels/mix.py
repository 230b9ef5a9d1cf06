"""Stage *mix*: two clips as one sound, in time and in key: a clip, the host, and another of its
bucket, the guest, which is stretched and transposed to fit.

A step of its own, so that `vary` reads no label. Each host looks for guests by itself: another
label makes other mixes of those clips alone that it is about.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pipelines.audio import rubberband
from pipelines.audio.decode import Wave, read_window, resampled
from pipelines.audio.mixing import mixed
from pipelines.build.corrections import annotations_in_force, laid_over
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS, MIXES, REFUSED_MIXES, VERDICTS
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.errors import DeadInput
from pipelines.labels.pairing import Misfit, Pairing, paired, unsure
from pipelines.labels.transform import clip_labels, mixed_labels
from pipelines.samples.moved_labels import planned_mixes
from pipelines.stages.labels import vary
from pipelines.stages.labels.vary import Copy, packed, rendered
from pipelines.storage.tar import TarWriter
from schemas.corpus import Change, Clip, Guest, Mixed, RefusedMix
from schemas.identity import keyed_rng, sample_key, stable_hash
from schemas.labels import Labels
from schemas.recipe import Recipe, VaryRecipe

UNSURE: Final = "unsure_labels"  # why there is no mix: the host's own labels,
NO_GUEST: Final = "no_guest"  # or that no other clip of the bucket fits
_LEAST_SHARE: Final = 0.2  # 12 dB under the other: less is not heard as music of its own
_SHARE_DECIMALS: Final = 4


class LabelledClip(NamedTuple):
    """A clip that may be mixed, and its labels over its extended window."""

    clip: Clip
    labels: Labels

    @property
    def own(self) -> Labels:
        """The labels of the clip alone."""
        return clip_labels(self.labels, self.clip.length_s)


class PlannedMix(NamedTuple):
    """A mix to make: its variant's name, its clips, how they fit, and the guest's share."""

    variant: str
    host: LabelledClip
    guest: LabelledClip
    pairing: Pairing
    share: float

    @property
    def key(self) -> str:
        """The sample's key."""
        return sample_key(self.host.clip.clip_key, self.variant)


class SoundWindow(NamedTuple):
    """A piece of a local file."""

    path: str
    start_s: float
    end_s: float


class MixRequest(NamedTuple):
    """What a worker's child needs to make a mix."""

    host: SoundWindow
    guest: SoundWindow
    pairing: Pairing
    share: float


# -- who sounds with whom


def mixable_clips(job: Job, clips: Sequence[Clip]) -> list[LabelledClip]:
    """Those of a bucket's clips that the filter lets be varied, with their labels in force."""
    labels = {row.clip_key: row.labels for row in annotations_in_force(job)}
    verdicts = {row.clip_key: row for row in VERDICTS.read(job)}
    return [
        LabelledClip(clip, labels[clip.clip_key])
        for clip in clips
        if clip.clip_key in verdicts and verdicts[clip.clip_key].vary
    ]


def plan_mixes(clips: Sequence[LabelledClip], recipe: Recipe) -> Iterator[PlannedMix | RefusedMix]:
    """Each mix that the recipe asks for of clips among themselves, or why there is none."""
    sure = [one for one in clips if not unsure(one.labels, recipe.mix)]
    for host in clips:
        yield from _mixes_of(host, sure, recipe)


def _mixes_of(
    host: LabelledClip, sure: Sequence[LabelledClip], recipe: Recipe
) -> Iterator[PlannedMix | RefusedMix]:
    clip, wanted = host.clip, planned_mixes(host.clip, recipe)
    if not wanted:
        return
    rule, guests = UNSURE, _Guests([], unsure(host.labels, recipe.mix))
    if not guests.figure:
        others = [one for one in sure if one.clip.song.song_id != clip.song.song_id]
        # by a hash of both: whoever else comes or goes, the order of two stays
        others.sort(
            key=lambda one: stable_hash(recipe.corpus.seed, clip.clip_key, one.clip.clip_key)
        )
        rule, guests = NO_GUEST, _guests_of(host, others, len(wanted), recipe)
    for number, variant in enumerate(wanted):
        key = sample_key(clip.clip_key, variant)
        if number < len(guests.found):
            yield PlannedMix(variant, host, *guests.found[number], _share(key, recipe))
        else:
            yield RefusedMix(sample_key=key, rule=rule, figure=guests.figure)


class _Guests(NamedTuple):
    """Clips that fit a host, and how; and what is to be said where they are too few."""

    found: list[tuple[LabelledClip, Pairing]]
    figure: str


def _guests_of(
    host: LabelledClip, others: Sequence[LabelledClip], most: int, recipe: Recipe
) -> _Guests:
    """The first clips that fit."""
    found: list[tuple[LabelledClip, Pairing]] = []
    misfits: Counter[Misfit] = Counter()
    own = host.own
    for other in others:
        pairing = paired(own, other.labels, recipe.mix)
        if isinstance(pairing, Misfit):
            misfits[pairing] += 1
            continue
        found.append((other, pairing))
        if len(found) == most:
            break
    figure = f"{len(found)} of {len(others)} other sure clips fit"
    told = ", ".join(f"{misfits[misfit]} {misfit}" for misfit in Misfit if misfits[misfit])
    return _Guests(found, f"{figure}; in the way: {told}" if told else figure)


def _share(key: str, recipe: Recipe) -> float:
    """The guest's share of the amplitude, audible but not alone."""
    rng = keyed_rng(recipe.corpus.seed, key, "share")
    drawn = float(rng.beta(recipe.mix.share_beta, recipe.mix.share_beta))
    return round(min(max(drawn, _LEAST_SHARE), 1 - _LEAST_SHARE), _SHARE_DECIMALS)


# -- the sound


def make_mixes(requests: Sequence[MixRequest], recipe: VaryRecipe) -> list[Copy | Death]:
    """FLAC of each mix; runs in a worker's child."""
    return [_made(request, recipe) for request in requests]


def _made(request: MixRequest, recipe: VaryRecipe) -> Copy | Death:
    fit = request.pairing
    work_hz = rubberband.working_rate_hz(recipe.rate_hz, (*recipe.semitones, fit.semitones))
    try:
        host, guest = (
            _read(window, work_hz, stereo=recipe.channels == 2)
            for window in (request.host, request.guest)
        )
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
    fitted = rubberband.changed(
        guest, work_hz, speed=fit.speed, semitones=fit.semitones, engine=recipe.engine
    )
    both = mixed(host, fitted, work_hz, offset_s=fit.offset_s, share=request.share)
    return rendered(both, work_hz, recipe)


def _read(window: SoundWindow, rate_hz: int, *, stereo: bool) -> Wave:
    excerpt = read_window(window.path, window.start_s, window.end_s, stereo=stereo)
    return resampled(excerpt.wave, excerpt.rate_hz, rate_hz)


# -- a bucket


def mix_bucket(job: Job) -> Done:
    """Make every mix of a bucket into one tar, with an index beside it, and a table of those that
    found no guest.
    """
    bucket_clips = CLIPS.read(job)
    plans = list(plan_mixes(mixable_clips(job, bucket_clips), job.recipe))
    planned = [plan for plan in plans if isinstance(plan, PlannedMix)]
    refused = [plan for plan in plans if isinstance(plan, RefusedMix)]
    made: list[Mixed] = []
    dead: list[tuple[str, Death]] = []
    with (
        bucket.local_files(job) as local,
        bucket.child(job.recipe.limits) as child,
        MIXES.writer(job) as out,
    ):
        tar = TarWriter(out)
        for plan in planned:
            request = request_of(plan, local(plan.host.clip.source), local(plan.guest.clip.source))
            [copy] = child.run(make_mixes, [request], job.recipe.vary)
            if isinstance(copy, Death):
                dead.append((plan.key, copy))
            else:
                made.append(_packed(tar, plan, copy, job.recipe.vary))
        tar.close()
    bucket.progress(len(bucket_clips))
    files = [
        out.published(),
        MIXES.write(job, made),
        REFUSED_MIXES.write(job, refused),
        *bucket.write_dead(job, MIXES, dead),
    ]
    return Done(files, {"samples": len(made), "rejected": len(refused), "dead": len(dead)})


def request_of(plan: PlannedMix, host_path: str, guest_path: str) -> MixRequest:
    """A planned mix of two local files, for a worker's child."""
    host, guest = plan.host.clip, plan.guest.clip
    return MixRequest(
        SoundWindow(host_path, host.start_s, host.end_s),
        SoundWindow(guest_path, guest.start_s, guest.extended_end_s),
        plan.pairing,
        plan.share,
    )


def _packed(tar: TarWriter, plan: PlannedMix, copy: Copy, recipe: VaryRecipe) -> Mixed:
    host, clip = plan.host.clip, plan.guest.clip
    row = packed(tar, host.clip_key, Change(variant=plan.variant), copy, recipe)
    guest = Guest(
        clip_key=clip.clip_key,
        source=clip.source,
        start_s=clip.start_s,
        end_s=clip.end_s,
        share=plan.share,
        **plan.pairing._asdict(),
    )
    labels = mixed_labels(plan.host.own, plan.guest.labels)
    return Mixed(**dict(row), guest=guest, labels=labels)


STAGE: Final = Stage(
    name="mix",
    version=1,
    reads=(CLIPS, ANNOTATIONS, VERDICTS),
    writes=(MIXES, REFUSED_MIXES),
    knobs=("mix", "vary"),
    run=mix_bucket,
    tools=vary.tools,
    enabled=lambda recipe: recipe.mixes,
    extra_fingerprint=laid_over,
)
