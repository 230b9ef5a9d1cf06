"""Small pieces of music with exact truth, for the demo and the tests."""
