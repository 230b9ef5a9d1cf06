"""Learned predictors: what a caption leaves open, from its words and from what it does state.

They stand beside the parser of captions.

Beats are predicted as Mustango does (arXiv 2311.08355): a count, and the interval between them.
Chords are a sequence from a sequence: a small decoder that reads the text's states. Chords are
given relative to the tonic, so that a caption means the same in any key. `learning.py` trains them,
`predictors.py` answers; `training.prompt_controls` asks, and only for what nobody states.
"""
