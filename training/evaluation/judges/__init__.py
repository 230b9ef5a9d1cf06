"""Ears that did not label the data: other annotators that hear clips, and what they say of them."""
