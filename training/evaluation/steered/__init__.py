"""Pieces of ours that were steered: what was asked, and what their sound shows of it."""
