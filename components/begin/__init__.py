"""begin: round -> go or stop; old weights retired."""
