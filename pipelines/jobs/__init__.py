"""What the jobs engine knows of Kubernetes: the API, the Jobs it makes, and what can be wrong with them."""
