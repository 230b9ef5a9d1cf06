"""MuNet: a UNet whose attention sites look at the text, then at the beats, then at the chords
(Mustango, arXiv 2311.08355).

`config.py` has its shapes, the published one among them; `net.py` is the place to start reading.
"""
