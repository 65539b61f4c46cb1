"""Clips that nobody recorded: takes joined, at another pace, overlaid on one another."""
