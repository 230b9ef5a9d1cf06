"""Readers of files that strangers wrote, with limits before memory is taken."""
