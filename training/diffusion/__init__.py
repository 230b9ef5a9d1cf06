"""The latent-diffusion model: its parts, objective and sampler."""
