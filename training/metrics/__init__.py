"""Whether music plays what was requested: figures of pairs of requested and estimated controls, and
distances between sets of clips.

Everything here is a pure function; `training.evaluation` listens to files and calls it.
"""
