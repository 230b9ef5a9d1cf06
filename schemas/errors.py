"""The error that every refused value of this package raises."""


class SchemaError(ValueError):
    """A value outside its vocabulary or range; the message says what is allowed."""
