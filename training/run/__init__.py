"""A training run: the loop and what it keeps."""
