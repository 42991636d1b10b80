"""initialize: plan and data set's shape -> model 0."""
