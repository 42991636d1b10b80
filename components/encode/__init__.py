"""encode: packed images and captions, a base model's encoders -> moments of latents, and text states."""
