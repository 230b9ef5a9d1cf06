"""Annotators: one library per file, registered by name."""
