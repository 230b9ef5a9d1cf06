"""Errors of the stages, each with a code that the ledger and the reader both use."""


class PipelineError(Exception):
    """Something is wrong with the input or the settings; the message says what, where, and what to do."""


class DeadInput(PipelineError):
    """One input or clip cannot be used. It becomes a dead row of the ledger; nothing else is lost."""

    def __init__(self, code: str, message: str, figure: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.figure = code, message, figure


class Passing(PipelineError):
    """What may pass by itself, such as an outage: trying again is worth it."""
