"""Steering a trained model while it plays: what a latent sounds like, as far as gradients pass; how
far that is from what is asked; and ways to bring it nearer. `listening` is the place to start.
"""
