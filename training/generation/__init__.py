"""A model plays what was asked, and what it played is written."""
