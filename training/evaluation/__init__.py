"""Evaluation: clips that any system made are listened to, and scored by what their prompts ask for.

`evaluating.py` is the place to start reading: it takes `Made` clips from a folder (`folders.py`) or
from a model, and gives a `Report`.
"""
