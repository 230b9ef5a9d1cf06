"""A build's folder as typed values: what each step leaves on disk."""
