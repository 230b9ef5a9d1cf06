"""Texts to label music with: gathered, ruled, read, held out."""
