"""redistribute: assignment r, statistics r -> assignment r+1."""
