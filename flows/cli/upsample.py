"""`obbligato upsample`: a file at a higher rate."""

from pathlib import Path
from typing import Annotated, Final

import typer

from flows.cli.options import Device, Json, existing, print_json, written
from flows.errors import UsageError

_LONGEST_S: Final = 3600.0  # more is not taken into memory


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
    upsampler = open_upsampler(model, device_of(device))
    audio = read_window(existing(file, "an audio file"), 0.0, _LONGEST_S, stereo=True)
    made = upsampler.played(audio.wave, audio.rate_hz, seed=seed, key=Path(file).stem)
    soundfile.write(out, made, upsampler.rate_hz, subtype="PCM_16")
    if as_json:
        print_json({"file": str(out), "rate_hz": upsampler.rate_hz, "refined_by": [upsampler.name]})
    else:
        typer.echo(f"{out}: {upsampler.name}")
