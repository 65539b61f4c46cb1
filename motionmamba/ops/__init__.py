"""Operators: the selective scan and the causal convolution in front of it."""

from motionmamba.ops.causal_conv1d import causal_conv1d
from motionmamba.ops.selective_scan import default_backend, selective_scan

__all__ = ["causal_conv1d", "default_backend", "selective_scan"]
