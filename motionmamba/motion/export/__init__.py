"""Motions as files for animation software."""

from motionmamba.motion.export.bvh import write_bvh

__all__ = ["write_bvh"]
