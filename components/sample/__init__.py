"""sample: model R -> generated images."""
