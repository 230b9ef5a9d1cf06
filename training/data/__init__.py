"""From shards to batches: `index.py` says where each sample's bytes stand, `order.py` which sample
comes when, `examples.py` the sample as tensors, `loading.py` gives them in batches.

Which sample comes at a position, and every draw made for it, depend on the seed and that position
alone. So the order is the same on any number of processes, nodes and workers, and training goes on
after an interruption where it was, to the sample.
"""
