"""What a build is made of: folders, manifests, shards."""
