"""Controls of whole files, where curves were asked for."""

from collections.abc import Sequence

import numpy as np

from pipelines.annotators.windows import AnnotateWindow
from pipelines.audio.controls import controls_of
from pipelines.audio.decode import read_window
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput
from schemas.controls import AudioControls


def measured_controls(windows: Sequence[AnnotateWindow], _: None) -> list[AudioControls | Death]:
    """The controls of each window, measured as those of samples are; runs in a worker's child."""
    found: list[AudioControls | Death] = []
    for window in windows:
        try:
            audio = read_window(window.path, window.start_s, window.end_s)
            found.append(controls_of(np.nan_to_num(audio.wave), audio.rate_hz))
        except DeadInput as error:
            found.append(Death(error.code, error.message, error.figure))
    return found
