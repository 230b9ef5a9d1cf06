"""Stage *mix*: two clips as one sound, in time and in key: a clip, the host, and another of its
bucket, the guest, which is stretched and transposed to fit.

A step of its own, so that `vary` reads no label. Each host looks for guests by itself: another label
makes other mixes of those clips alone that it is about.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pipelines.annotators import RATE_HZ, Rhythm
from pipelines.annotators.windows import AnnotateWindow, annotate_chords
from pipelines.annotators.windows import tools as annotator_tools
from pipelines.audio import rubberband
from pipelines.audio.decode import Wave, decoded, read_window, resampled
from pipelines.audio.mixing import mixed
from pipelines.build.corrections import annotations_in_force, corrections_seen
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
from schemas.corpus import Change, Clip, Guest, Mixed, Refused
from schemas.identity import keyed_rng, sample_key, stable_hash
from schemas.labels import Chords, Labels
from schemas.recipe import Recipe

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


class MixRequest(NamedTuple):
    """What a worker's child needs to make a mix."""

    host: AnnotateWindow
    guest: AnnotateWindow
    pairing: Pairing
    share: float
    rhythm: Rhythm


class MadeMix(NamedTuple):
    """A mix as made, and the chords that are heard in it."""

    copy: Copy
    chords: Chords


# -- who sounds with whom


def mixable_clips(job: Job) -> list[LabelledClip]:
    """Clips of a bucket that the filter lets be varied, with their labels in force."""
    labels = {row.clip_key: row.labels for row in annotations_in_force(job)}
    verdicts = {row.clip_key: row for row in VERDICTS.read(job)}
    return [
        LabelledClip(clip, labels[clip.clip_key])
        for clip in CLIPS.read(job)
        if clip.clip_key in verdicts and verdicts[clip.clip_key].vary
    ]


def plan_mixes(clips: Sequence[LabelledClip], recipe: Recipe) -> Iterator[PlannedMix | Refused]:
    """Each mix that the recipe asks for of clips among themselves, or why there is none."""
    sure = [one for one in clips if not unsure(one.labels, recipe.mix)]
    for host in clips:
        yield from _mixes_of(host, sure, recipe)


def _mixes_of(
    host: LabelledClip, sure: Sequence[LabelledClip], recipe: Recipe
) -> Iterator[PlannedMix | Refused]:
    key, wanted = host.clip.clip_key, planned_mixes(host.clip, recipe)
    why, rule = unsure(host.labels, recipe.mix), UNSURE
    found: list[tuple[LabelledClip, Pairing]] = []
    if wanted and not why:
        others = [one for one in sure if one.clip.song.song_id != host.clip.song.song_id]
        # by a hash of both: whoever else comes or goes, the order of two stays
        others.sort(key=lambda one: stable_hash(recipe.corpus.seed, key, one.clip.clip_key))
        misfits: Counter[Misfit] = Counter()
        own = host.own
        for other in others:
            pairing = paired(own, other.labels, recipe.mix)
            if isinstance(pairing, Misfit):
                misfits[pairing] += 1
            elif len(found) < len(wanted):
                found.append((other, pairing))
            if len(found) == len(wanted):
                break
        told = ", ".join(f"{misfits[misfit]} {misfit}" for misfit in Misfit if misfits[misfit])
        why, rule = f"{len(found)} of {len(others)} other sure clips fit; not: {told}", NO_GUEST
    for number, variant in enumerate(wanted):
        if number < len(found):
            share = _share(sample_key(key, variant), recipe)
            yield PlannedMix(variant, host, *found[number], share)
        else:
            yield Refused(sample_key=sample_key(key, variant), rule=rule, figure=why)


def _share(key: str, recipe: Recipe) -> float:
    """The guest's share of the amplitude, audible but not alone."""
    rng = keyed_rng(recipe.corpus.seed, key, "share")
    drawn = float(rng.beta(recipe.mix.share_beta, recipe.mix.share_beta))
    return round(min(max(drawn, _LEAST_SHARE), 1 - _LEAST_SHARE), _SHARE_DECIMALS)


# -- the sound


def make_mixes(requests: Sequence[MixRequest], recipe: Recipe) -> list[MadeMix | Death]:
    """Each mix, and its chords; runs in a worker's child."""
    made: dict[int, Copy] = {}
    results: dict[int, MadeMix | Death] = {}
    for index, request in enumerate(requests):
        try:
            made[index] = _sound(request, recipe)
        except DeadInput as error:
            results[index] = Death(error.code, error.message, error.figure)
    waves = [as_heard(copy) for copy in made.values()]
    rhythms = [requests[index].rhythm for index in made]
    for index, chords in zip(made, annotate_chords(waves, rhythms, recipe.annotate), strict=True):
        results[index] = MadeMix(made[index], chords)
    return [results[index] for index in range(len(requests))]


def _sound(request: MixRequest, recipe: Recipe) -> Copy:
    work_hz = rubberband.working_rate_hz(
        recipe.vary.rate_hz, (*recipe.vary.semitones, request.pairing.semitones)
    )
    host, guest = (
        _read(window, work_hz, stereo=recipe.vary.channels == 2)
        for window in (request.host, request.guest)
    )
    fitted = rubberband.changed(
        guest,
        work_hz,
        speed=request.pairing.speed,
        semitones=request.pairing.semitones,
        engine=recipe.vary.engine,
    )
    both = mixed(host, fitted, work_hz, offset_s=request.pairing.offset_s, share=request.share)
    return rendered(both, work_hz, recipe.vary)


def _read(window: AnnotateWindow, rate_hz: int, *, stereo: bool) -> Wave:
    excerpt = read_window(window.path, window.start_s, window.end_s, stereo=stereo)
    return resampled(excerpt.wave, excerpt.rate_hz, rate_hz)


def as_heard(copy: Copy) -> Wave:
    """A copy's sound as shards give it back, at the annotators' rate."""
    audio = decoded(copy.content)
    return resampled(audio.wave, audio.rate_hz, RATE_HZ)


# -- a bucket


def mix_bucket(job: Job) -> Done:
    """Make every mix of a bucket into one tar, with an index beside it, and a table of those that
    found no guest.
    """
    plans = list(plan_mixes(mixable_clips(job), job.recipe))
    planned = [plan for plan in plans if isinstance(plan, PlannedMix)]
    refused = [plan for plan in plans if isinstance(plan, Refused)]
    made: list[Mixed] = []
    dead: list[tuple[str, Death]] = []
    with (
        bucket.local_files(job) as local,
        bucket.child(job.recipe.limits) as child,
        MIXES.writer(job) as out,
    ):
        tar = TarWriter(out)
        for batch in bucket.batches(planned, job.recipe.annotate.batch):
            requests = [
                request_of(plan, local(plan.host.clip.source), local(plan.guest.clip.source))
                for plan in batch
            ]
            for plan, result in zip(
                batch, child.run(make_mixes, requests, job.recipe), strict=True
            ):
                if isinstance(result, Death):
                    dead.append((plan.key, result))
                else:
                    made.append(_packed(tar, plan, result, job.recipe))
        tar.close()
    bucket.progress(len(CLIPS.read(job)))
    files = [
        out.published(),
        MIXES.write(job, made),
        REFUSED_MIXES.write(job, refused),
        *bucket.write_dead(job, MIXES, dead),
    ]
    return Done(files, {"samples": len(made), "rejected": len(refused), "dead": len(dead)})


def request_of(plan: PlannedMix, host_path: str, guest_path: str) -> MixRequest:
    """A planned mix of two local files, for a worker's child."""
    host, guest, own = plan.host.clip, plan.guest.clip, plan.host.own
    return MixRequest(
        AnnotateWindow(host.clip_key, host_path, host.start_s, host.end_s),
        AnnotateWindow(guest.clip_key, guest_path, guest.start_s, guest.extended_end_s),
        plan.pairing,
        plan.share,
        Rhythm(own.beats, own.meter, own.tempo),
    )


def _packed(tar: TarWriter, plan: PlannedMix, made: MadeMix, recipe: Recipe) -> Mixed:
    host, clip = plan.host.clip, plan.guest.clip
    row = packed(tar, host.clip_key, Change(variant=plan.variant), made.copy, recipe.vary)
    guest = Guest(
        clip_key=clip.clip_key,
        source=clip.source,
        start_s=clip.start_s,
        end_s=clip.end_s,
        share=plan.share,
        **plan.pairing._asdict(),
    )
    labels = mixed_labels(plan.host.own, plan.guest.labels, made.chords)
    return Mixed(**dict(row), guest=guest, labels=labels)


def tools(recipe: Recipe) -> Mapping[str, str]:
    """Versions of what makes the audio, and of what hears its chords."""
    return {**vary.tools(recipe), **annotator_tools(recipe)}


STAGE: Final = Stage(
    name="mix",
    version=1,
    reads=(CLIPS, ANNOTATIONS, VERDICTS),
    writes=(MIXES, REFUSED_MIXES),
    knobs=("mix", "vary", "annotate"),
    run=mix_bucket,
    tools=tools,
    enabled=lambda recipe: recipe.mixes,
    extra_fingerprint=corrections_seen,
)
