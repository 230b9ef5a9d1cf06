"""Training of a vocoder: what plays spectrograms in place of Griffin-Lim."""
