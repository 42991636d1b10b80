"""Base models that are trained here, below an address of the store's."""
