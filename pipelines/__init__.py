"""In which order steps run, and where."""
