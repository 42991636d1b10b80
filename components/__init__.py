"""What runs inside a pod: the steps of a run and the rooms that they share."""
