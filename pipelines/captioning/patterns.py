"""How patterns of the parser are written: word lists as data, and regular expressions with white
space and comments.
"""

import re


def any_of(words: str) -> str:
    """A group that matches any of these words, the earlier first; `_` stands for a space within
    one.

    >>> any_of("meter time_signature")
    '(?:meter|time[ ]signature)'
    """
    return f"(?:{alternatives(words)})"


def alternatives(words: str) -> str:
    """The same without a group, to stand beside others."""
    return "|".join(words.split()).replace("_", "[ ]")


def verbose(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A pattern whose white space and comments count for nothing: a space is written ``[ ]``.

    >>> verbose(r"in [ ] (\\d) [ ] time  # in 3 time").search("A song in 3 time.")[1]
    '3'
    """
    return re.compile(pattern, re.VERBOSE | (re.IGNORECASE if ignore_case else re.NOFLAG))
