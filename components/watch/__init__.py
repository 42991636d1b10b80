"""watch: aggregated model r -> what a few of its images show, beside the training of round r."""
