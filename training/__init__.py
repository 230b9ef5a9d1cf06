"""Shards to model: conditions and prompts, MuNet, its objective, sampling.

`model.py` is the place to start reading.
"""
