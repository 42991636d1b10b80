"""prepare: images in a directory or a bucket -> packed data set."""
