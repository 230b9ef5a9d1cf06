"""A transformer over latent frames (Peebles & Xie 2023, DiT, arXiv 2212.09748), as Stable Audio and
most music models since 2024 have: `config.py` has its shapes, `net.py` is the place to start.
"""
