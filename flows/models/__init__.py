"""A model trained and measured, as commands and flows ask for it."""
