"""The steps of a build, one a file."""
