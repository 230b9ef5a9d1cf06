"""Tempo words and the ranges of beats per minute that they stand for."""

from typing import Final, NamedTuple


class BpmRange(NamedTuple):
    """Beats per minute from `low` up to, not including, `high`."""

    low: float
    high: float


# The scale printed on mechanical metronomes (Wittner, Seth Thomas): Largo 40-60, Larghetto 60-66,
# Adagio 66-76, Andante 76-108, Moderato 108-120, Allegro 120-168, Presto 168-200, Prestissimo
# 200-208; its ends are left open here.
METRONOME: Final[dict[str, BpmRange]] = {
    "largo": BpmRange(0, 60),
    "larghetto": BpmRange(60, 66),
    "adagio": BpmRange(66, 76),
    "andante": BpmRange(76, 108),
    "moderato": BpmRange(108, 120),
    "allegro": BpmRange(120, 168),
    "presto": BpmRange(168, 200),
    "prestissimo": BpmRange(200, 1000),
}
# Words that are read but never written: on no metronome, so the span that published tables give
# them (they differ widely).
_OTHER_ITALIAN: Final[dict[str, BpmRange]] = {
    "larghissimo": BpmRange(0, 40),
    "grave": BpmRange(0, 45),
    "lento": BpmRange(40, 68),
    "adagietto": BpmRange(65, 80),
    "andante moderato": BpmRange(69, 112),
    "andantino": BpmRange(77, 108),
    "allegretto": BpmRange(98, 128),
    "allegro moderato": BpmRange(112, 128),
    "allegro vivace": BpmRange(124, 176),
    "vivace": BpmRange(132, 176),
    "vivacissimo": BpmRange(140, 180),
}
# Plain words, loosely: a listener's slow, medium and fast overlap.
PLAIN: Final[dict[str, BpmRange]] = {
    "slow": BpmRange(0, 100),
    "leisurely": BpmRange(0, 105),
    "down-tempo": BpmRange(0, 105),
    "medium slow": BpmRange(55, 110),
    "medium": BpmRange(70, 135),
    "moderate": BpmRange(70, 135),
    "mid-tempo": BpmRange(70, 135),
    "medium fast": BpmRange(90, 160),
    "up-tempo": BpmRange(105, 1000),
    "brisk": BpmRange(105, 1000),
    "fast": BpmRange(108, 1000),
    "quick": BpmRange(108, 1000),
    "rapid": BpmRange(108, 1000),
}
ITALIAN: Final = METRONOME | _OTHER_ITALIAN
TEMPO_RANGES: Final = ITALIAN | PLAIN


def tempo_word(bpm: float) -> str:
    """The word that a metronome's scale prints at this many beats per minute.

    >>> tempo_word(92), tempo_word(120)
    ('andante', 'allegro')
    """
    return next(word for word, span in METRONOME.items() if bpm < span.high)
