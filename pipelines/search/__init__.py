"""Nearest texts and near-duplicates."""
