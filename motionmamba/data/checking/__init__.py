"""What may be wrong with a data set, a packed one or an official folder."""
