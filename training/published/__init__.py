"""Models that others published, in their layouts and names: read into runs of ours (`importing`),
and runs of ours written so (`exporting`).

`unet_names` says which tensor is which; what a folder holds is decided in `sources`.
"""
