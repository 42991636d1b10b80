"""Where images come from: a tree of files, or arrays in files of a known format."""
