"""An evaluation's figures of sound, and of judges, on the terminal and as tables of the page."""

from collections.abc import Iterator, Sequence
from html import escape

from flows.screens.evaluation_cells import counted, infinity_missing, interval
from training.evaluation.judges.judge_report import JudgeReport
from training.evaluation.report import EvaluationReport, SpaceFigures
from training.evaluation.scorers import Better
from training.evaluation.scorers.opened import ScorerFigure, ScorerReport
from training.evaluation.sound_report import SoundReport
from training.metrics.length import LengthReport
from training.metrics.level import LevelReport, MeanLevel
from training.metrics.summary import Figure
from training.metrics.tagging import CONCEPTS_BY_CHANCE


def sound_lines(report: EvaluationReport) -> Iterator[str]:
    """Likeness, level, scorers and judges, a line each."""
    yield from _space_lines(report.space)
    if report.sound.level:
        yield _level_line(report.sound.level)
    if report.sound.length:
        yield _length_line(report.sound.length)
    for scorer in report.sound.scorers:
        yield from _scorer_lines(scorer)
    for judge in report.judges:
        yield from _judge_lines(judge)


def _space_lines(space: SpaceFigures) -> Iterator[str]:
    if space.prompt_cosine:
        score = space.prompt_cosine
        yield (
            f"{space.cosine_name} {score.value:.3f} ({interval(score)}) of "
            f"{counted(score.clips, 'clip')}, by {space.embedder}"
        )
    if space.concept_coverage:
        covered = space.concept_coverage
        yield (
            f"concepts covered {covered.value:.3f} ({interval(covered)}) of "
            f"{counted(covered.clips, 'clip')} whose prompts name any; by chance "
            f"{CONCEPTS_BY_CHANCE:.3f}"
        )
    if space.frechet is not None:
        yield (
            f"Fréchet distance in {space.embedder} {space.frechet:.4f} (n {space.frechet_clips}, "
            f"{space.reference_clips} of reference)"
        )
    apart, zero = space.frechet_infinity, space.frechet_zero
    if apart and zero:
        yield (
            f"FAD∞ in {space.embedder} {apart.at_infinity:.4f}, of two halves of the reference "
            f"{zero.at_infinity:.4f}; at n {apart.most} a side {apart.distance:.4f} and "
            f"{zero.distance:.4f}"
        )
    if missing := infinity_missing(space):
        yield missing
    if space.kl_sets is not None:
        yield f"KL over {space.classes} zero-shot names in {space.embedder} {space.kl_sets:.4f}"


def _level_line(level: LevelReport) -> str:
    if level.reference is None:
        return f"level {_spread(level.made)}"
    return (
        f"level {_spread(level.made)}, of the reference {_spread(level.reference)}; spectrum in "
        f"octaves {level.spectrum_db:.1f} dB apart, its shape {level.shape_db:.1f} dB"
    )


def _length_line(length: LengthReport) -> str:
    """How near clips are to the length that was asked, and to which side others are off."""
    return (
        f"length {length.median_error_s:.2f} s from the asked one (median of "
        f"{counted(length.clips, 'clip')}), {length.near:.0%} within half a second, "
        f"{length.longer:.0%} longer"
    )


def _spread(mean: MeanLevel) -> str:
    silent = f" ({mean.silent} silent)" if mean.silent else ""
    return f"{mean.mean_db:.1f} ± {mean.spread_db:.1f} dBFS{silent}"


def _scorer_lines(scorer: ScorerReport) -> Iterator[str]:
    if scorer.not_run:
        yield f"{scorer.name}: not run: {scorer.not_run}"
    for one in scorer.figures:
        yield f"{one.figure.name} {one.figure.value:.4f} by {scorer.name}, {one.better} is better"


def _judge_lines(judge: JudgeReport) -> Iterator[str]:
    if judge.not_run:
        yield f"judge {judge.name}: not run: {judge.not_run}"
        return
    ours = {one.name: one.value for one in judge.ours}
    for one in judge.figures:
        yield (
            f"{one.name} {100 * one.value:.1f} % as {judge.name} hears it, "
            f"{100 * ours[one.name]:.1f} % as we do by the same rules ({one.clips} clips)"
        )
    for swap in judge.swaps.swaps if judge.swaps else ():
        yield (
            f"{swap.swap} swapped: followed in {100 * swap.followed.value:.0f} % of "
            f"{swap.pairs} as {judge.name} hears it"
        )


def sound_tables(sound: SoundReport) -> str:
    """Level, spectrum and scorers."""
    return (_level_table(sound.level) if sound.level else "") + _scorer_table(sound.scorers)


def _level_table(level: LevelReport) -> str:
    rows = [_row("level", "dBFS, mean ± spread", _spread(level.made), _beside(level), "")]
    for octave in level.octaves:
        has = octave.reference_db is not None
        rows.append(
            _row(
                f"{octave.low_hz:g} to {octave.high_hz:g} Hz",
                "dBFS, mean over clips",
                f"{octave.made_db:.1f}",
                f"{octave.reference_db:.1f}" if has else "–",
                f"{octave.difference_db:+.1f}" if has else "–",
            )
        )
    facts = (
        f'<p class="facts">Octaves differ by {level.spectrum_db:.1f} dB (root mean square), '
        f"by {level.shape_db:.1f} dB without what they share.</p>"
        if level.reference
        else ""
    )
    return (
        "<h2>Level and spectrum <small>at 16 kHz, of clips that are not silent</small></h2>"
        "<div class=wide><table><tr><th></th><th></th><th class=number>clips</th>"
        "<th class=number>reference</th><th class=number>difference, dB</th></tr>"
        f"{''.join(rows)}</table></div>{facts}"
    )


def _beside(level: LevelReport) -> str:
    return _spread(level.reference) if level.reference else "–"


def _scorer_table(scorers: Sequence[ScorerReport]) -> str:
    if not scorers:
        return ""
    rows = [_row_of_figure(scorer, one) for scorer in scorers for one in scorer.figures]
    rows += [
        f"<tr><td class=name>{escape(one.name)}</td>"
        f"<td colspan=4>not run: {escape(one.not_run)}</td></tr>"
        for one in scorers
        if one.not_run
    ]
    return (
        "<h2>Scorers <small>models that know nothing of our labels</small></h2><div class=wide>"
        "<table><tr><th>figure</th><th></th><th class=number>value</th><th class=number>95 % "
        f"interval</th><th>by</th></tr>{''.join(rows)}</table></div>"
    )


def _row_of_figure(scorer: ScorerReport, one: ScorerFigure) -> str:
    found = one.figure
    way = "higher is better" if one.better is Better.HIGHER else "lower is better"
    by = f"{scorer.name} {scorer.version} ({scorer.licence})"
    unusable = f"; {scorer.unusable} it could not hear" if scorer.unusable else ""
    return _row(
        found.name,
        f"{found.meaning}; {way}",
        f"{found.value:.3f}",
        interval(found),
        by + unusable,
    )


def _row(name: str, meaning: str, value: str, beside: str, last: str) -> str:
    return (
        f"<tr><td class=name>{escape(name)}</td><td>{escape(meaning)}</td>"
        f"<td class=number>{escape(value)}</td><td class=number>{escape(beside)}</td>"
        f"<td>{escape(last)}</td></tr>"
    )


def judge_tables(judges: Sequence[JudgeReport]) -> str:
    """What each judge hears, beside what our annotators hear."""
    return "".join(_judge_table(judge) for judge in judges)


def _judge_table(judge: JudgeReport) -> str:
    title = (
        f"<h2>Judged by {escape(judge.name)} <small>an ear that did not label the data</small></h2>"
    )
    if judge.not_run:
        return f'{title}<p class="facts">not run: {escape(judge.not_run)}</p>'
    ours = {one.name: one for one in judge.ours}
    rows = [_judge_row(one.name, one.meaning, one, ours[one.name]) for one in judge.figures]
    rows += [
        _judge_row(f"{swap.swap} swapped", "followed", swap.followed, None)
        for swap in (judge.swaps.swaps if judge.swaps else ())
    ]
    return (
        f"{title}<div class=wide><table><tr><th>metric</th><th></th><th class=number>% as "
        f"{escape(judge.name)} hears it</th><th class=number>95 % interval</th><th>as we do, by "
        f"the same rules</th></tr>{''.join(rows)}</table></div>"
        f'<p class="facts">Of {judge.clips} clips; it hears {", ".join(judge.hears)}. Chords by '
        f"root and major or minor. {escape(' · '.join(judge.tools))}</p>"
    )


def _judge_row(name: str, meaning: str, one: Figure, ours: Figure | None) -> str:
    return _row(
        name,
        meaning,
        f"{100 * one.value:.1f}",
        f"{100 * one.low:.1f} – {100 * one.high:.1f}",
        f"{100 * ours.value:.1f}" if ours else "–",
    )
