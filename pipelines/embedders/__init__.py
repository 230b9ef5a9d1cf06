"""Models that place texts (and, beside them, audio) in one space. One library per file."""
