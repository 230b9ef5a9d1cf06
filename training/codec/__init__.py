"""Training of an autoencoder of spectrograms."""
