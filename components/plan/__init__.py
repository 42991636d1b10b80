"""plan: config -> the run's plan."""
