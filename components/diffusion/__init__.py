"""The diffusion model: network and noise schedule, weights in and out, sampling.

Import from its files: a step that only moves weights must not wait for diffusers.
"""
