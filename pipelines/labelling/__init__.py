"""Pseudo-labels: texts of large vocabularies that lie nearest to the music, as Noise2Music chose them (Huang et al., 2023).

`gathering` reads the vocabularies; `matching` finds each clip's nearest texts; `drawing` chooses among them; `chunks` joins tags.
"""
