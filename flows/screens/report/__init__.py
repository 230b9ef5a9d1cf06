"""The listening page of a build or of any shards: what was labelled, to be seen and heard."""
