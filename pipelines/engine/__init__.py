"""How a stage runs: jobs by bucket, markers, the children that may crash, the local pool."""
