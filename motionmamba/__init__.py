"""Motion Mamba: text to human motion with hierarchical-scan Mamba latent diffusion."""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "Motion": "motionmamba.motion.motion",
    "MotionMambaPipeline": "motionmamba.pipeline",
    "MotionMambaPipelineOutput": "motionmamba.pipeline",
}
__all__ = ["Motion", "MotionMambaPipeline", "MotionMambaPipelineOutput"]


def __getattr__(name: str):
    # torch and diffusers take seconds to import; nobody waits for them before using them
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
