"""Sound: decoded in one place only, moved, measured."""
