"""Control sentences, the facts in them, and how both move with the audio."""
