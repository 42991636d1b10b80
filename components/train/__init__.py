"""train: assignment r and model r -> proxy r,k and its samples' statistics."""
