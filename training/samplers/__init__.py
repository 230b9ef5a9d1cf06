"""Samplers: from noise back to latents with any predictor. `steps` has the pure steps, `denoise`
the way through them.
"""
