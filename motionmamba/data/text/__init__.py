"""Captions: a grammar that writes them, tags of their words, sides exchanged."""
