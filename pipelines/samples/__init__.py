"""A build's samples: planned, their audio, their labels."""
