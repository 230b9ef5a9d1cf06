"""`obbligato upsample`: a file at a higher rate."""

from pathlib import Path
from typing import Annotated, Final

import typer

from flows.cli.options import Device, Json, existing, print_json, written
from flows.errors import UsageError

_LONGEST_S: Final = 3600.0  # more is not taken into memory
_SHORTEST_S: Final = 1e-3


def upsample(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Audio, mono or stereo.")],
    model: Annotated[
        str, typer.Option("--model", metavar="FOLDER", help="Of `obbligato train upsampler`.")
    ],
    out: Annotated[Path, written("The file to write: .flac or .wav.", "FILE")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same sound.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Bring a file to the rate of an upsampler: what it has stays, and what lies above is added."""
    import soundfile

    from pipelines.audio.decode import read_window
    from training.run.parallel import device_of
    from training.upsampler.play import open_upsampler

    if out.suffix.lower() not in (".flac", ".wav"):
        raise UsageError(f"--out {out}: name a file that ends in .flac or .wav")
    if out.exists() and Path(file).exists() and out.samefile(file):
        raise UsageError(f"--out {out} is the file itself: name another one")
    rate_hz = _checked_rate(existing(file, "an audio file"))
    _make_parent(out)
    upsampler = open_upsampler(model, device_of(device))
    upsampler.check_rate(rate_hz)
    notes = upsampler.notes(rate_hz)
    if not as_json:
        for note in notes:
            typer.echo(note)
    audio = read_window(file, 0.0, _LONGEST_S, stereo=True)
    made = upsampler.played(audio.wave, audio.rate_hz, seed=seed, key=Path(file).stem)
    soundfile.write(out, made, upsampler.rate_hz, subtype="PCM_16")
    if as_json:
        print_json(
            {
                "file": str(out),
                "rate_hz": upsampler.rate_hz,
                "refined_by": [upsampler.name],
                "notes": notes,
            }
        )
    else:
        typer.echo(f"{out}: {upsampler.name}")


def _checked_rate(file: str) -> int:
    """The rate of a file.

    Raises `UsageError` where it cannot be decoded, or is longer than what is taken.
    """
    from pipelines.audio.decode import probe
    from pipelines.errors import DeadInput
    from schemas.recipe import IngestRecipe

    limits = IngestRecipe(max_duration_s=_LONGEST_S, min_clip_s=_SHORTEST_S, min_rate_hz=1)
    try:
        return probe(file, limits).rate_hz
    except DeadInput as error:
        if error.code == "too_long":
            raise UsageError(
                f"{file} is longer than {_LONGEST_S / 60:g} minutes, the most that is upsampled at "
                "once: cut it into parts"
            ) from error
        raise UsageError(f"{file}: {error.message} {error.figure}".rstrip()) from error


def _make_parent(out: Path) -> None:
    """Make the folder that a file is to lie in, before anything is computed."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--out {out}: its folder cannot be made ({error.strerror}): name another file"
        ) from error
