"""Evaluation of generated motion."""
