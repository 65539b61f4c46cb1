"""Operators: the selective scans of Mamba and Mamba-2 and the causal convolution before them."""

from motionmamba.ops.backends import default_backend
from motionmamba.ops.causal_conv1d import causal_conv1d, causal_conv1d_update
from motionmamba.ops.selective_scan import selective_scan, selective_state_update
from motionmamba.ops.ssd import ssd

__all__ = [
    "causal_conv1d",
    "causal_conv1d_update",
    "default_backend",
    "selective_scan",
    "selective_state_update",
    "ssd",
]
