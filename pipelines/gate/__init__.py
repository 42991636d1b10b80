"""The gate of a release: a report beside the thresholds of a policy."""
