"""Motions as files of other software, written and read back."""
