"""shard: data set -> assignment 0."""
