"""Masked training: parts of its input that a network is not shown and yet has to make.

The schemes are those of masked video models (VideoMAE, Tong et al. 2022, and its kin), with a
motion's joints, or no more than its time, in the place of a picture's patches:

random  single entries, a joint in a frame
tube    the same joints in all frames
clip    spans of SPAN frames
frame   single whole frames

In each the hidden share of what is valid is exact, and padding is never counted or hidden.
"""

from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from motionmamba.models.autoencoder import MotionAutoencoder
from motionmamba.models.common import check_choice, length_mask
from motionmamba.motion.skeleton import Skeleton

SCHEMES = ("none", "random", "tube", "clip", "frame")
SPAN = 4  # frames, which are one latent token, or latent tokens


@dataclass(frozen=True)
class Masking:
    """What is hidden: `ratio` of each motion by `scheme`, in `chance` of all motions.

    The others are shown whole, as all are once the network is trained.
    """

    scheme: str = "none"
    ratio: float = 0.5
    chance: float = 0.5

    def __post_init__(self):
        check_choice("train.masking", self.scheme, SCHEMES)
        if not (0 < self.ratio < 1 and 0 < self.chance <= 1):
            raise ValueError(
                f"train.masking_ratio is {self.ratio} and train.masking_chance {self.chance}, "
                "expected shares between 0 and 1; switch masking off with train.masking=none"
            )

    @classmethod
    def from_config(cls, train: DictConfig) -> "Masking":
        return cls(train.masking, train.masking_ratio, train.masking_chance)

    def hidden(
        self, lengths: torch.Tensor, size: int, joints: int, generator: torch.Generator
    ) -> torch.Tensor | None:
        """What to hide of motions of lengths (B,) in `size` frames: (B, T, J), None for nothing."""
        if self.scheme == "none":
            return None
        valid = length_mask(lengths, size)
        batch = len(lengths)
        if self.scheme == "random":
            entries = valid.repeat_interleave(joints, 1)
            hidden = self._choose(entries, generator).view(batch, size, joints)
        elif self.scheme == "tube":
            hidden = self._choose(valid.new_ones(batch, joints), generator)[:, None]
        elif self.scheme == "clip":
            spans = self._choose(valid[:, ::SPAN], generator)
            hidden = spans.repeat_interleave(SPAN, 1)[:, :size, None]
        else:
            hidden = self._choose(valid, generator)[..., None]
        chosen = torch.rand(batch, generator=generator, device=lengths.device) < self.chance
        return (hidden & (valid & chosen[:, None])[..., None]).expand(-1, -1, joints)

    def _choose(self, valid: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Marks `ratio` of the valid entries of each row (B, N) at random."""
        order = torch.rand(valid.shape, generator=generator, device=valid.device)
        order = order.masked_fill(~valid, 2.0).argsort(1)
        count = (valid.sum(1, keepdim=True) * self.ratio).round()
        first = torch.arange(valid.shape[1], device=valid.device) < count
        return torch.zeros_like(valid).scatter(1, order, first)


class FeatureMask:
    """Sets what a VAE's encoder is not shown of normalised features to zero, which is their mean.

    A joint takes with it all that features tell of it: position, rotation, velocity, contact, and
    the root its path.
    """

    def __init__(self, masking: Masking, skeleton: Skeleton, device):
        self.masking, self.joints = masking, skeleton.num_joints
        self.joint_of_feature = feature_joints(skeleton).to(device)

    def __call__(
        self, features: torch.Tensor, lengths: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """What is shown of features (B, T, F) of lengths (B,)."""
        hidden = self.masking.hidden(lengths, features.shape[1], self.joints, generator)
        if hidden is None:
            return features
        return features.masked_fill(hidden[..., self.joint_of_feature], 0.0)


class LatentMask:
    """Chooses the latent tokens that a denoiser is not shown.

    They are hidden and not dropped, as masked transformers do to save time (MaskDiT, Zheng et al.
    2023): to a scan, the tokens around a gap would be neighbours.

    Raises:
        ValueError: for a scheme that latents of this VAE, or what its denoiser predicts, give no
            meaning to.
    """

    def __init__(self, masking: Masking, vae: MotionAutoencoder, prediction_type: str):
        self.masking = masking
        if masking.scheme == "none":
            return
        if masking.scheme in ("random", "tube"):
            raise ValueError(
                f"train.masking={masking.scheme} hides joints, which latents do not have; choose "
                "clip, frame or none for the denoiser"
            )
        counts = vae.latent_lengths(torch.tensor([1, vae.config.max_frames])).tolist()
        if counts[0] == counts[1]:
            raise ValueError(
                f"train.masking={masking.scheme} hides a stretch of time, and latents of "
                f"{type(vae).__name__} are of the whole motion; choose none"
            )
        if prediction_type == "epsilon":
            raise ValueError(
                f"train.masking={masking.scheme} leaves nothing to tell a hidden token's noise "
                "from; choose none, or predict v_prediction or sample"
            )

    def __call__(
        self, lengths: torch.Tensor, size: int, generator: torch.Generator
    ) -> torch.Tensor | None:
        """What to hide of `size` latent tokens, lengths (B,) of them valid: (B, L) or None."""
        hidden = self.masking.hidden(lengths, size, 1, generator)
        return None if hidden is None else hidden[..., 0]


def feature_joints(skeleton: Skeleton) -> torch.Tensor:
    """The joint (F,) that each feature is of."""
    root, others = [0], list(range(1, skeleton.num_joints))
    blocks = (
        root * 4,
        [joint for joint in others for _ in range(3)],  # positions
        [joint for joint in others for _ in range(6)],  # rotations
        [joint for joint in root + others for _ in range(3)],  # velocities
        [joint for foot in skeleton.feet for joint in foot],  # contacts
    )
    return torch.tensor([joint for block in blocks for joint in block])
