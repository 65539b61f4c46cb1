"""Pictures of motions: by OpenGL without a window where there is one, or else by numpy."""

from .backends import describe_renderers
from .sequence import render_sequence
from .video import render_frame, render_strip, render_video

__all__ = [
    "describe_renderers",
    "render_frame",
    "render_sequence",
    "render_strip",
    "render_video",
]
