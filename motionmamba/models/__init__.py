"""Motion VAEs, Mamba blocks, denoisers and the length predictor."""

from motionmamba.models.bidirectional import BidirectionalSpatialMamba
from motionmamba.models.denoiser import MotionMambaDenoiser
from motionmamba.models.hierarchical import HierarchicalTemporalMamba
from motionmamba.models.length_predictor import LengthPredictor
from motionmamba.models.mamba import Mamba
from motionmamba.models.mamba2 import Mamba2
from motionmamba.models.temporal_vae import TemporalMotionVAE
from motionmamba.models.transformer_denoiser import TransformerDenoiser
from motionmamba.models.vae import MotionVAE

__all__ = [
    "BidirectionalSpatialMamba",
    "HierarchicalTemporalMamba",
    "LengthPredictor",
    "Mamba",
    "Mamba2",
    "MotionMambaDenoiser",
    "MotionVAE",
    "TemporalMotionVAE",
    "TransformerDenoiser",
]
