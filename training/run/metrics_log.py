"""The log of a run: figures, sounds and pictures for TensorBoard, lines for the terminal.

Written by the first process alone, below the run's folder.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.storage.store import Store
from training.errors import TrainingError
from training.run.step_figures import StepFigures
from training.run.throughput import Throughput
from training.run.validation import Preview

FOLDER: Final = "tensorboard"
ReportLine = Callable[[str], None]

Wave = npt.NDArray[np.float32]
_WINDOW: Final = 1024
_HOP: Final = 256
_FLOOR_DB: Final = -80.0


class MetricsLog:
    """Where the figures of a run go."""

    def __init__(self, store: Store, report: ReportLine, *, done: int, wandb: str = "") -> None:
        """`done` is the step to go on after: what an interrupted run wrote beyond it is hidden."""
        from torch.utils.tensorboard import SummaryWriter

        if wandb:
            _mirror(wandb, store.root)
        self._writer: Any = SummaryWriter(str(Path(store.root) / FOLDER), purge_step=done + 1)
        self._report = report

    def step(self, step: int, figures: StepFigures, pace: Throughput) -> None:
        """Figures of a step, and the pace since the last ones."""
        scalars = {
            "loss/train": figures.loss,
            "optim/gradient_norm": figures.gradient_norm,
            "optim/lr": figures.lr,
            "pace/samples_per_s": pace.samples_per_s,
            "pace/waiting_share": pace.waiting_share,
            "data/unusable": figures.unusable,
        }
        scalars |= {f"loss/{name}": loss for name, loss in figures.parts.items()}
        if pace.tflops is not None and pace.mfu is not None:
            scalars |= {"pace/tflops": pace.tflops, "pace/mfu": pace.mfu}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)
        mfu = "" if pace.mfu is None else f" · MFU {pace.mfu:.1%}"
        self._report(
            f"step {step} of {pace.steps} · loss {figures.loss:.4f} · gradient "
            f"{figures.gradient_norm:.2f} · {pace.samples_per_s:.3g} samples/s "
            f"· {pace.waiting_share:.1%} waiting for data{mfu} · {pace.left}"
        )

    def validation(self, step: int, loss: float) -> None:
        """The loss on validation."""
        self._writer.add_scalar("loss/validation", loss, step)
        self._report(f"step {step} · validation loss {loss:.4f}")

    def preview(self, step: int, played: Preview) -> None:
        """Sounds and their spectrograms, with their prompts."""
        for key, prompt, wave in zip(played.keys, played.prompts, played.waves, strict=True):
            self._writer.add_audio(f"played/{key}", wave[None], step, sample_rate=played.rate_hz)
            self._writer.add_image(
                f"spectrogram/{key}", spectrogram_picture(wave), step, dataformats="HW"
            )
            self._writer.add_text(f"prompt/{key}", prompt, step)

    def close(self) -> None:
        """Everything on disk."""
        self._writer.close()


def spectrogram_picture(wave: Wave) -> npt.NDArray[np.uint8]:
    """Levels of a wave over time as grey, low notes below, black 80 dB down: (257, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, _WINDOW // 2), _WINDOW)[
        ::_HOP
    ] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)).T ** 2
    level_db = 10 * np.log10(
        np.maximum(power / max(float(power.max()), 1e-12), 10 ** (_FLOOR_DB / 10))
    )
    grey = ((level_db - _FLOOR_DB) / -_FLOOR_DB * 255).astype(np.uint8)
    # up to a quarter of the rate: where music is
    return np.ascontiguousarray(grey[: _WINDOW // 4 + 1][::-1])


def _mirror(project: str, folder: str) -> None:
    """Weights & Biases reads what TensorBoard is given."""
    try:
        import wandb
    except ImportError as error:
        raise TrainingError(
            "run.wandb names a project, but wandb is not installed: "
            "pip install wandb, or leave it empty"
        ) from error
    path = Path(folder).resolve()
    # other folders of that name are other runs
    run_id = f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    wandb.init(
        project=project,
        name=path.name,
        dir=folder,
        sync_tensorboard=True,
        resume="allow",
        id=run_id,
    )
