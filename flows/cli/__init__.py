"""The command line: a leaf, which nothing but its own files imports."""

from flows.cli.main import app, main

__all__ = ["app", "main"]
