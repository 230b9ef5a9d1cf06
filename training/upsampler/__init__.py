"""An upsampler: what lies above a wave's rate, learned from pairs of rates, and played."""
