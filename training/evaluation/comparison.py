"""A report beside another of the same prompts: which of two systems does what is asked?"""

from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from training.errors import TrainingError
from training.evaluation.beside_asked import pairs_by_kind
from training.evaluation.report import ClipReport, Comparison, EvaluationReport
from training.metrics.mcnemar import PairedOutcomes, mcnemar
from training.metrics.outcomes import MEANING, SHARES, Metric
from training.metrics.swap import verdict
from training.metrics.timeline_figures import TIMELINE_MEANING, TimelineMetric

_TEMPO: Final = (TimelineMetric.TEMPO_1, TimelineMetric.TEMPO_2)
_Outcomes = dict[str, dict[str, bool]]  # by what, then by clip
_Meanings = dict[str, str]


def read_report(content: bytes, name: str) -> EvaluationReport:
    """A report.json. Raises `TrainingError` for anything else, and for one of another version."""
    try:
        return EvaluationReport.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise TrainingError(
            f"{name} is not a report.json of this version: {at}: {first['msg']}"
        ) from error


def with_comparison(report: EvaluationReport, other: EvaluationReport) -> EvaluationReport:
    """The report with each share of clips and of swaps beside the other's, on the prompts that both
    have.

    A swap counts as followed where both clips are nearer to their own prompt. Raises
    `TrainingError` where the two have no prompt in common.
    """
    shared = _shared(report, other)
    if not shared:
        raise TrainingError(
            f"the report of {other.system} has no prompt in common with that of {report.system}: "
            "compare reports of the same shards, with the same prompts and seed"
        )
    meanings, ours = _outcomes(report, shared)
    theirs = _outcomes(other, shared)[1]
    found = tuple(
        Comparison(name=name, meaning=meanings[name], cases=len(common), **tested._asdict())
        for name, common, tested in _tested(ours, theirs)
    )
    return report.replaced(compared_with=other.system, compared=found)


def _tested(ours: _Outcomes, theirs: _Outcomes) -> Iterator[tuple[str, list[str], PairedOutcomes]]:
    for name, outcomes in ours.items():
        common = [clip for clip in outcomes if clip in theirs.get(name, {})]
        if common:
            yield name, common, mcnemar([(outcomes[one], theirs[name][one]) for one in common])


def _shared(report: EvaluationReport, other: EvaluationReport) -> frozenset[str]:
    """Names of the clips that both made for the same caption."""
    captions = {clip.name: clip.caption for clip in other.clips}
    return frozenset(
        clip.name
        for clip in report.clips
        if clip.caption and captions.get(clip.name) == clip.caption
    )


def _outcomes(report: EvaluationReport, shared: frozenset[str]) -> tuple[_Meanings, _Outcomes]:
    clips = [clip for clip in report.clips if clip.name in shared]
    meanings: _Meanings = {}
    found: _Outcomes = {}
    for clip in clips:
        if not clip.swap_of:
            for metric, meaning, value in _shares(clip):
                meanings[metric] = meaning
                found.setdefault(metric, {})[clip.name] = value >= 1
    for kind, pairs in pairs_by_kind(clips).items():
        name = f"swap: {kind}"
        meanings[name] = "both clips nearer to their own prompt"
        found[name] = {
            clip: verdict(pair, kind.control).followed >= 1 for clip, pair in pairs.items()
        }
    return meanings, found


def _shares(clip: ClipReport) -> Iterator[tuple[str, str, float]]:
    for metric in Metric:
        if metric in SHARES and metric in clip.scores:
            yield metric, MEANING[metric], clip.scores[metric]
    for tempo in _TEMPO:
        if tempo in clip.timeline:
            yield tempo, TIMELINE_MEANING[tempo], clip.timeline[tempo]
