"""Masked models of codes: a codec's codebook entries, filled in where they are masked; `net` is the
place to start reading.
"""
