"""Motions: skeletons, the HumanML3D / KIT feature codec and the `Motion` value."""

from motionmamba.motion.motion import Motion
from motionmamba.motion.skeleton import HUMANML3D, KIT, Skeleton

__all__ = ["HUMANML3D", "KIT", "Motion", "Skeleton"]
