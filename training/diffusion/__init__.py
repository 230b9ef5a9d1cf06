"""The latent-diffusion model: text encoder, the model as a whole, guided sampling."""
