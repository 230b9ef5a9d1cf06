"""Controls of whole files, where curves were asked for."""

from collections.abc import Sequence

from pipelines.annotators.windows import AnnotateWindow
from pipelines.audio.controls import controls_of
from pipelines.engine.child_process import Death
from schemas.controls import AudioControls
from training.evaluation.heard_wave import heard_wave


def measured_controls(windows: Sequence[AnnotateWindow], _: None) -> list[AudioControls | Death]:
    """The controls of each window, measured as those of samples are; runs in a worker's child."""
    found: list[AudioControls | Death] = []
    for window in windows:
        heard = heard_wave(window.path, window.start_s, window.end_s)
        found.append(heard if isinstance(heard, Death) else controls_of(*heard))
    return found
