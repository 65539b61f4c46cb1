"""Pictures of motions that need no graphics hardware: numpy, Pillow and ffmpeg only."""

from .video import render_frame, render_strip, render_video

__all__ = ["render_frame", "render_strip", "render_video"]
