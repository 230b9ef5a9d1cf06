"""Practice material for the networks behind our annotators, and how they are trained on it."""
