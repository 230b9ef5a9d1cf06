"""The error of training: settings or inputs that do not fit together."""


class TrainingError(Exception):
    """Something about a model, its settings or its inputs does not fit; the message says what,
    where, and what to do.
    """


class BadData(TrainingError):
    """Samples that cannot be used, more than are let pass; or a loss that is not a number."""


class NoSamples(TrainingError):
    """A corpus has no samples of the split that is asked for."""
