"""The diffusion model: network and noise schedule, weights in and out, sampling."""

from components.model.device import choose_device, device_name, set_numerics
from components.model.network import build_network, condition_count, initial_network
from components.model.noise import noise_schedule
from components.model.release import release_files, released_pipeline
from components.model.sampling import generate, preview_strip
from components.model.weights import load_state, state_bytes

__all__ = [
    "build_network",
    "choose_device",
    "condition_count",
    "device_name",
    "generate",
    "initial_network",
    "load_state",
    "noise_schedule",
    "preview_strip",
    "release_files",
    "released_pipeline",
    "set_numerics",
    "state_bytes",
]
