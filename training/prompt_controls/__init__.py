"""From text to controls: what a caption and flags say of tempo, meter, key and chords becomes a
beat grid and a chord timeline.

What nobody says is filled from the statistics of the corpus that the model was trained on, or by a
learned predictor (`predicting.py` has its interface). `resolve.py` is the place to start reading.
"""
