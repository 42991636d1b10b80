"""A small text-to-image base model from nothing: tokenizer, autoencoder, text encoder and denoiser, stage by stage.

Import from its files: the settings must not wait for diffusers.
"""
