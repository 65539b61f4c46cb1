"""The web page: a sentence in, a person who moves in 3-D, as a video and as files out."""
