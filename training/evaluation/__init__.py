"""Evaluation: clips that any system made are listened to, and scored by what their prompts ask for.

`evaluate.py` is the place to start reading: it takes `MadeClip`s from a folder (`folders.py`) or
from a model (`generated.py`), and gives an `EvaluationReport`.
"""
