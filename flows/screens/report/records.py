"""What the listening page is given of clips: plain figures and text, ready to be shown.

Text from outside is in one plain line (`flows.screens.plain`) before it stands here. Times are
seconds from the start of the sample's audio.
"""

from pipelines.captioning.marking import Standing
from schemas.identity import Split
from schemas.record import Record


class ShownFact(Record):
    """A fact that a caption states: what it is about, how it stands beside the labels, and what
    they say.
    """

    about: str
    text: str
    standing: Standing
    label: str = ""


class ShownRun(Record):
    """A stretch of a caption, and the index of the fact that it states, if any."""

    text: str
    fact: int | None = None


class ShownCaption(Record):
    """A caption in runs that make up its text, and the facts it carries."""

    kind: str
    writer: str
    runs: tuple[ShownRun, ...]
    facts: tuple[ShownFact, ...]


class ShownChord(Record):
    """A chord from `start_s` to `end_s`: its symbol, the place of its root on the circle of fifths
    (0 = C, 1 = G; none for no chord), and MIDI notes to play.
    """

    start_s: float
    end_s: float
    name: str
    fifth: int | None
    notes: tuple[int, ...]


class ShownLabel(Record):
    """A label: what it is about, its value in words, the chance that it is right, and where it is
    from.
    """

    about: str
    value: str
    confidence: float
    origin: str


class ShownFigure(Record):
    """A name and a value in words."""

    name: str
    value: str


class ShownCurves(Record):
    """Controls over time, in frames of 1 / `frame_rate_hz` s: levels in dB relative to full scale,
    and pitch classes (12 where none sounds).
    """

    frame_rate_hz: int
    dynamics_db: tuple[float, ...]
    melody: tuple[int, ...]


class ShownSample(Record):
    """A sample: its audio's name in the report ("" where there is none), outline (peaks and levels
    in base64, a byte a column), labels, captions, and what is known of it.

    `heard_again` is how far labels agree that were extracted from its audio once more.
    """

    key: str
    change: str
    speed: float = 1.0
    duration_s: float
    audio: str
    format: str
    peaks: str = ""
    levels: str = ""
    beats_s: tuple[float, ...] = ()
    numbers: tuple[int, ...] = ()
    chords: tuple[ShownChord, ...] = ()
    labels: tuple[ShownLabel, ...] = ()
    curves: ShownCurves | None = None
    captions: tuple[ShownCaption, ...] = ()
    heard_again: tuple[ShownFigure, ...] = ()
    figures: tuple[ShownFigure, ...] = ()


class ShownClip(Record):
    """A clip with its samples, the original first."""

    name: str
    title: str
    about: str
    samples: tuple[ShownSample, ...]


class ClipRow(Record):
    """A clip in the list: what it is found, filtered and sorted by.

    It stands at `place` of part `page`. `unsure` is the confidence of its weakest label, `weakest`,
    `all_right` the chance that all labels are right;
    `differs` counts the stated facts that its labels deny, `apart` is how far labels extracted
    again fell short (1 less the lowest agreement). `strip` paints its chords over time: a letter a
    stretch, ``a`` for C and on by fifths, ``-`` for none.
    """

    name: str
    page: int
    place: int
    title: str
    about: str
    text: str
    split: Split | None
    tags: tuple[str, ...]
    samples: int
    unsure: float | None
    weakest: str
    all_right: float | None
    differs: int
    apart: float | None
    strip: str
