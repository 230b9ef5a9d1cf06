"""Steps from latents to shards, and their proof."""
