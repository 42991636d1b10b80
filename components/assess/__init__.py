"""What a set of generated images is measured by: the same for a report, for the watch and for an audit."""
