"""The steps of a build in order, in this process."""
