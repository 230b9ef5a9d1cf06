"""Errors of the command line and the flows."""


class UsageError(Exception):
    """What was asked for cannot be done as asked; the message says what to write instead."""
