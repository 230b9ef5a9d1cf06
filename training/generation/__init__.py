"""A model generates what was requested, and the sound is written."""
