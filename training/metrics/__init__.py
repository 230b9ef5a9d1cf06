"""Whether music plays what was asked: figures of pairs of what a prompt states and what was heard,
and distances between sets of clips.

Everything here is a pure function; `training.evaluation` listens to files and calls it.
"""
