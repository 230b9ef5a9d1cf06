"""Models on a hub or in a folder, and what their weights hash to."""
