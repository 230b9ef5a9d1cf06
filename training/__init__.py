"""Shards to model: the room is here, the model is not built yet."""
