"""How well a masked model of codes keeps to beats: held-out songs of which it plays a part anew.

    python -m tests.benchmarks.training.token_trial RUN SHARDS --out FOLDER
        [--pieces 50] [--keep beats] [--seed 0] [--set guidance=3.0]

Pieces are originals of held-out shards, spread over them, each told its own beats, chords and key.
Two ways:

- *continued*: the codes of its first half are kept, and its second half is played;
- *kept at beats*: the codes at its beats are kept (`--keep`), and all others played.

Our annotators hear what is played. Beats (F within 70 ms) are held to those that were asked for, of
what was played alone: of a continued piece its second half. Beside each stand chance, which is the
same music held to the beats of the next piece, and the ceiling, which is the piece itself through
the codec. The goal for what is continued is 0.8.

Each piece is a line in FOLDER, with its sounds beside, and is not played again: take another FOLDER
for other settings. Prints a Markdown table; intervals are 95 %, by bootstrap over pieces. Seconds
are of one thread, per second of sound, the median over pieces.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import soundfile
import torch

from pipelines.audio.decode import Wave, decoded, resampled
from pipelines.codecs.layout import for_codec, with_channels
from pipelines.labels.agreement import f_measure
from pipelines.reports.annotate_files import annotate_files
from pipelines.shards.find import find_shards
from schemas.labels import Labels
from schemas.recipe import Recipe
from schemas.sample import Sample
from tests.benchmarks.training.student_trial import Rows
from training.conditions.clip_controls import ClipControls
from training.conditions.rows import FrameGrid
from training.evaluation.originals import held_out, originals
from training.generation.generate import GenerationRequest
from training.metrics.intervals import mean_interval
from training.tokens.keeping import Keeping
from training.tokens.player import KeptCodes, TokenPlayer

LEAST_BEATS: Final = 4  # of a half; of fewer, F is a lottery
WAYS: Final = ("continued", "kept at beats")
CEILING: Final = "through the codec"


class Piece(NamedTuple):
    """A held-out piece at the codec's rate, and the labels that it is told."""

    key: str
    wave: Wave
    labels: Labels

    @property
    def middle_s(self) -> float:
        """Where its second half begins."""
        return self.labels.duration_s / 2


def main() -> None:
    """Play, listen, and print the table."""
    torch.set_num_threads(1)
    given = _arguments()
    player = TokenPlayer.of(given.run, "cpu")
    pieces = list(_pieces(given.shards, given.pieces, player))
    rows = Rows(given.out, "pieces")
    for piece in pieces:
        rows.of(piece.key, partial(_played, player, piece, given))
    _print_table([piece for piece in pieces if rows.has(piece.key)], rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well a model of codes keeps to beats.")
    parser.add_argument("run")
    parser.add_argument("shards")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pieces", type=int, default=50)
    parser.add_argument("--keep", default="beats")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    return parser.parse_args()


def _pieces(shards: str, most: int, player: TokenPlayer) -> Iterator[Piece]:
    """So many originals whose halves have beats, as far apart in their shards as there are enough
    of them.
    """
    chosen, _ = held_out(find_shards(shards).shards)
    usable = [key for key in map(_usable_key, originals(chosen)) if key]
    wanted = set(usable[:: max(1, len(usable) // most)][:most])
    facts = player.codec.facts
    for raw, sample in originals(chosen):
        if raw.key in wanted and raw.audio and sample is not None:
            audio = decoded(raw.content(raw.audio), stereo=facts.is_stereo)
            wave = with_channels(resampled(audio.wave, audio.rate_hz, facts.rate_hz), facts)
            yield Piece(raw.key, wave, sample.labels)


def _usable_key(one: tuple[Any, Sample | None]) -> str:
    """The key of a piece with enough beats in both halves; empty for any other."""
    raw, sample = one
    if sample is None or not raw.audio:
        return ""
    middle_s, times_s = sample.duration_s / 2, sample.beats.times_s
    early = sum(time_s < middle_s for time_s in times_s)
    return raw.key if min(early, len(times_s) - early) >= LEAST_BEATS else ""


@torch.no_grad()
def _played(player: TokenPlayer, piece: Piece, given: argparse.Namespace) -> dict[str, Any]:
    """A piece in both ways and through the codec: what is heard in each, and what it took."""
    facts = player.codec.facts
    codes_BLT = player.codec.codes(for_codec([piece.wave]))
    grid = FrameGrid(codes_BLT.shape[2], facts.frames_per_s)
    is_early_T = torch.from_numpy(grid.centres_s) < piece.middle_s
    masks = {
        WAYS[0]: is_early_T.expand_as(codes_BLT[0]),
        WAYS[1]: Keeping.of(given.keep).mask(grid, codes_BLT.shape[1], piece.labels.beats.times_s),
    }
    request = GenerationRequest(piece.key, "", ClipControls(piece.labels))
    rules = player.recipe.sampling.replaced(
        **{knob: float(value) for knob, _, value in (one.partition("=") for one in given.settings)}
    )
    sounds, seconds = {CEILING: player.decoded(codes_BLT)[0]}, dict[str, float]()
    for way, kept_LT in masks.items():
        begun = time.process_time()
        kept = KeptCodes(codes_BLT[0], kept_LT)
        made_BLT = player.codes([request], kept, seed=given.seed, sampling=rules)
        sounds[way] = player.decoded(made_BLT)[0]
        seconds[way] = (time.process_time() - begun) / piece.labels.duration_s
    files = [_written(given.out, way, piece, wave, facts.rate_hz) for way, wave in sounds.items()]
    heard = [one.labels for one in annotate_files(files, Recipe())]
    return {
        "beats": {
            way: list(labels.beats.times_s) if labels else []
            for way, labels in zip(sounds, heard, strict=True)
        },
        "seconds": seconds,
        "kept": {way: float(kept_LT.float().mean()) for way, kept_LT in masks.items()},
    }


def _written(out: Path, way: str, piece: Piece, wave: Wave, rate_hz: int) -> str:
    folder = out / way.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{piece.key}.flac"
    soundfile.write(file, wave[: len(piece.wave)], rate_hz, subtype="PCM_16")
    return str(file)


def _print_table(pieces: Sequence[Piece], rows: Rows) -> None:
    print(
        f"\n{len(pieces)} pieces\n\n"
        "| | codes kept | beat F | by chance | through the codec | s/s |\n"
        "|---|---:|---:|---:|---:|---:|"
    )
    for way in WAYS:
        found = [rows.found(piece.key) for piece in pieces]
        shift = 1 if len(pieces) > 1 else 0
        others = [*pieces[shift:], *pieces[:shift]]
        own = [_f(one, one, rows, way, way) for one in pieces]
        chance = [_f(one, other, rows, way, way) for one, other in zip(pieces, others, strict=True)]
        ceiling = [_f(one, one, rows, CEILING, way) for one in pieces]
        kept = median(row["kept"][way] for row in found)
        cells = (
            f"{kept:.0%}",
            *(_interval(values, way) for values in (own, chance, ceiling)),
            f"{median(row['seconds'][way] for row in found):.2f}",
        )
        print(f"| {way} | {' | '.join(cells)} |")


def _f(piece: Piece, asked_of: Piece, rows: Rows, sound: str, way: str) -> float:
    """Beats heard in a sound of a piece against those of a piece, where the way has played."""
    start_s = piece.middle_s if way == WAYS[0] else 0.0
    asked, heard = (
        [time_s for time_s in times_s if start_s <= time_s < piece.labels.duration_s]
        for times_s in (asked_of.labels.beats.times_s, rows.found(piece.key)["beats"][sound])
    )
    return f_measure(asked, heard) or 0.0


def _interval(values: Sequence[float], name: str) -> str:
    found = mean_interval(values, 0, name)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


if __name__ == "__main__":
    main()
