"""Motion data sets: sources, captions and the packed form that training reads."""

from motionmamba.data.packed import Clip, MotionDataset, write_dataset

__all__ = ["Clip", "MotionDataset", "write_dataset"]
