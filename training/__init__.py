"""Shards to model: conditions and prompts, nets, objectives, sampling.

`model.py` is the place to start reading.
"""
