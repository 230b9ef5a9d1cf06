"""The error of training: settings or inputs that do not fit together."""


class TrainingError(Exception):
    """Something about a model, its settings or its inputs does not fit; the message says what, where, and what to do."""
