"""Options of `obbligato sample`: what is asked for, and how it is played."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class AudioFormat(StrEnum):
    """Files that music is written to."""

    WAV = "wav"
    FLAC = "flac"


class Way(StrEnum):
    """How what is asked for is followed."""

    CONDITION = "condition"
    GUIDE = "guide"
    OPTIMISE = "optimise"


_ASKED = "What is asked for"
_STEERED = "Beside a recording, and with a form"
_PLAYED = "How it is played"

Caption = Annotated[str, typer.Argument(metavar="[CAPTION]", help="What to play, in words.")]
Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="RUN", help="Folder of a training run, or one of its checkpoints."
    ),
]
Table = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help=(
            "A table of prompts (CSV, TSV, JSON lines, Parquet), played in one load: columns "
            "caption, seconds, seed and the options here by their names; these hold where a row "
            "says nothing."
        ),
    ),
]
Bpm = Annotated[
    float | None, typer.Option(help="Tempo in beats per minute.", rich_help_panel=_ASKED)
]
Meter = Annotated[
    str | None, typer.Option(help="Such as 3/4, or beats per bar.", rich_help_panel=_ASKED)
]
Key = Annotated[
    str | None,
    typer.Option(
        help="Such as 'A minor', or with times '0-5: A minor; 5-10: C major'.",
        rich_help_panel=_ASKED,
    ),
]
Chords = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE",
        help=(
            "Such as 'Am F C G': one a bar, from the top again; 'Am:2 F' and bar lines as well; "
            "with times '0-4: Am F; 6-8: C'; or a file (.lab, .csv)."
        ),
        rich_help_panel=_ASKED,
    ),
]
Beats = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE",
        help=(
            "Tempos with times, such as '0-5: 90; 5-10: 120 3/4', or a file of beats: time and, "
            "if known, number in the bar (.csv, .lab, .txt)."
        ),
        rich_help_panel=_ASKED,
    ),
]
Melody = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE",
        help=(
            "Notes such as 'C4 D4 E4:2 R', a beat each or as many as they say, also with times; or "
            "a file (.mid; .csv of start, end, note; a recording, whose melody it is)."
        ),
        rich_help_panel=_ASKED,
    ),
]
Intensity = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE",
        help=(
            "Level in dB of full scale: '-20', points with lines between, such as '0:-30 5:-12', "
            "or words such as 'quiet loud quiet'; or a file (.csv of time, dB; a recording)."
        ),
        rich_help_panel=_ASKED,
    ),
]
Density = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE",
        help=(
            "Notes and strokes a second: '4', or '0-4: 2; 4-8: 6'; or a file (.csv of start, end, "
            "number)."
        ),
        rich_help_panel=_ASKED,
    ),
]
Sections = Annotated[
    list[str] | None,
    typer.Option(
        "--section",
        metavar="TEXT|FILE",
        help=(
            "A part with words and controls of its own, such as '0-5: A calm flute; chords=Am F; "
            "bpm=90'; or a file of them (.toml, .csv). Repeatable."
        ),
        rich_help_panel=_ASKED,
    ),
]
Predicted = Annotated[
    str | None,
    typer.Option(
        "--predictors",
        metavar="FOLDER",
        help="Learned predictors for what nobody says; without, what is usual in the corpus.",
        rich_help_panel=_ASKED,
    ),
]
Continue = Annotated[
    str | None,
    typer.Option(
        "--continue",
        metavar="FILE",
        help="A recording to go on from: its beats go on, its key and tempo hold.",
        rich_help_panel=_STEERED,
    ),
]
Fill = Annotated[
    str | None,
    typer.Option(
        metavar="SECONDS",
        help="A part of the recording --of to be played anew, such as '4-6'.",
        rich_help_panel=_STEERED,
    ),
]
Of = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The recording.", rich_help_panel=_STEERED),
]
Keep = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help=(
            "Of a model of codes, which codes of the recording --of stay while the rest is played "
            "anew: 'beats', 'beats 0.2' (seconds of each), 'every 8' (frames), 'books 1', or some "
            "of them with commas."
        ),
        rich_help_panel=_STEERED,
    ),
]
Loop = Annotated[
    bool,
    typer.Option(
        "--loop",
        help=(
            "Whole bars whose end goes on in their beginning; with --of, a way from a recording's "
            "end to its beginning."
        ),
        rich_help_panel=_STEERED,
    ),
]
Form = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|FILE",
        help="A letter for each part, such as ABA; or a recording, whose form it is.",
        rich_help_panel=_STEERED,
    ),
]
By = Annotated[
    Way | None,
    typer.Option(
        help=(
            "How curves, chords, beats and a form are followed: the net is told (condition), led "
            "at each step (guide), or its noise is optimised, for minutes; without, the first that "
            "the model can. Optimise also leads to what a recording has at a join."
        ),
        rich_help_panel=_PLAYED,
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tries of optimised noise at most; without, 70, or 150 for melody, chords and form.",
        rich_help_panel=_PLAYED,
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=0.5,
        help=(
            "Length in seconds of what is new; more than the model plays at once is played window "
            "after window. Without, that of the sections, or what the model was trained on."
        ),
        rich_help_panel=_ASKED,
    ),
]
Start = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Where in a whole the piece begins, for a model that is told so. Without, at 0 s.",
        rich_help_panel=_ASKED,
    ),
]
Total = Annotated[
    float | None,
    typer.Option(
        min=0.5,
        help="How long that whole is: --start 170 --total 200 asks for an ending. Without, it ends "
        "with the piece.",
        rich_help_panel=_ASKED,
    ),
]
Count = Annotated[
    int, typer.Option(min=1, help="How many different pieces.", rich_help_panel=_PLAYED)
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same music.", rich_help_panel=_PLAYED)]
Guidance = Annotated[
    float | None,
    typer.Option(
        min=0, help="How closely to follow; without, the recipe's.", rich_help_panel=_PLAYED
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1, help="Steps from noise to music; without, the recipe's.", rich_help_panel=_PLAYED
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(help="ddim or dpm-solver++; without, the recipe's.", rich_help_panel=_PLAYED),
]
Gamma = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Of a student, the share of noise drawn anew at each step; without, the recipe's.",
        rich_help_panel=_PLAYED,
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Pieces made at once.", rich_help_panel=_PLAYED)]
Format = Annotated[
    AudioFormat, typer.Option("--format", help="Of the files.", rich_help_panel=_PLAYED)
]
Vocoder = Annotated[
    str,
    typer.Option(
        "--vocoder",
        metavar="FOLDER",
        help=(
            "What plays levels in place of Griffin-Lim: of `train vocoder`. Without, the recipe's; "
            "none: Griffin-Lim."
        ),
        rich_help_panel=_PLAYED,
    ),
]
Upsample = Annotated[
    str,
    typer.Option(
        "--upsample",
        metavar="FOLDER",
        help="What brings the sound to a higher rate: of `train upsampler`.",
        rich_help_panel=_PLAYED,
    ),
]
Heard = Annotated[
    bool,
    typer.Option(
        "--heard",
        help="Also print what our annotators hear in it beside what was asked: seconds a piece.",
        rich_help_panel=_PLAYED,
    ),
]
