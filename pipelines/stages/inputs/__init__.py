"""Steps from a listing to clips in buckets."""
