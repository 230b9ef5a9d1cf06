"""Order, settings and the command line. No music, no maths."""
