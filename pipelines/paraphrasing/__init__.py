"""Rewordings of captions: by rules or by a language model."""
