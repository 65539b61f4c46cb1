"""What every renderer offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..bodies import Pose
from ..camera import View
from ..trail import Trail


class Stage(Protocol):
    """A place with its camera, where poses are drawn."""

    view: View

    def draw(self, frame: int, poses: list[Pose], trail: Trail | None = None) -> np.ndarray:
        """The camera's `frame` of `poses`, far ones first: (H, W, 3) uint8.

        Where the view is transparent, (H, W, 4) with alpha that is not premultiplied.
        """
        ...


class Renderer(Protocol):
    """Draws pictures on what `device` says; used by one thread, and closed in the end.

    Where it `draws_skins` poses are of skins, else they are drawn as mannequins.
    """

    name: str
    device: str
    draws_skins: bool

    def stage(self, view: View) -> Stage: ...

    def close(self) -> None: ...


def finished(picture: np.ndarray) -> np.ndarray:
    """A picture of values up to 255, premultiplied where it has alpha, as `Stage.draw` gives it."""
    if picture.shape[-1] == 4:
        alpha = picture[..., 3:]
        colour = picture[..., :3] * (255 / np.maximum(alpha, 1).astype(np.float32))
        picture = np.concatenate([np.minimum(colour, 255), alpha], -1)
    return (picture + 0.5).astype(np.uint8)
