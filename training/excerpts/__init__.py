"""Trainings on excerpts of sound, without a word on what they are; whatever they train."""
