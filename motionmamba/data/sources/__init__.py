"""Where motion comes from: each source makes samples of a packed set of what a user has."""
