"""Training of the motion VAE and the latent denoiser on 🤗 accelerate."""
