"""select: what the watch has found -> the model that is sampled, reported and released."""
