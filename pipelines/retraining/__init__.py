"""Retraining: what is released, on the data as they are now, if the gate lets it pass."""
