"""Controls asked for by hand, each for all of a piece or for a part of it.

Chords, beats, key, melody, dynamics and density come as a text or as a file (`parts` has the form
of texts with times, `files` reads files within limits); `asked` makes of them what a model is
conditioned on, `sections` joins sections with words and controls of their own. What is asked for a
part of the time is known there and nowhere else: the rest is the model's own.
"""
