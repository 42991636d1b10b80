"""Diffusion models that do not echo their training images: IET-AGC+ as a pipeline, and the measures that prove it."""
