import numpy as np
import pytest
import torch
from body_motions import swaying

from motionmamba.motion.body import Body
from motionmamba.motion.export import correctives as module
from motionmamba.motion.export.correctives import correctives


@pytest.fixture
def motion():
    return swaying(Body.load(), 50)


def corrections(motion):
    """Of vertices (T, V, 3) at rest: what posing with single rotations adds, as smplx makes it."""
    from smplx.lbs import batch_rodrigues

    frames, joints = motion.poses.shape[:2]
    turns = batch_rodrigues(torch.from_numpy(motion.poses.reshape(-1, 3)))
    turns = turns.view(frames, joints, 3, 3)[:, 1:] - torch.eye(3)
    return (turns.reshape(frames, -1) @ motion.body.pose_directions).view(frames, -1, 3).numpy()


def summed(shapes, frames, count):
    total = np.zeros((frames, count, 3))
    for shape in shapes:
        total[:, shape.vertices] += shape.weights[:, None, None] * shape.offsets
    return total


def test_they_add_up(motion):
    shapes, expected = correctives(motion), corrections(motion)
    found = summed(shapes, *expected.shape[:2])
    assert np.linalg.norm(found - expected, axis=-1).max() < 1e-3
    assert np.linalg.norm(expected, axis=-1).max() > 0.01, "the body has none"
    assert 5 < len(shapes) < 64


def test_weights_are_from_0_to_1(motion):
    first, *others = correctives(motion)
    assert (first.weights == 1).all()
    for shape in others:
        assert (shape.weights.min(), shape.weights.max()) == (0, 1)
        assert shape.vertices.size and shape.offsets.shape == (len(shape.vertices), 3)


def test_the_strongest_stay(motion, monkeypatch):
    shapes, expected = correctives(motion), corrections(motion)
    monkeypatch.setattr(module, "MOST", 12)
    fewer = correctives(motion)
    assert len(fewer) == 12 < len(shapes)
    error = np.linalg.norm(summed(fewer, *expected.shape[:2]) - expected, axis=-1).max()
    assert error < np.linalg.norm(expected, axis=-1).max() / 2


def test_one_frame_and_rest(motion):
    body = motion.body
    still = swaying(body, 1)
    still.poses[:] = 0.4
    shapes = correctives(still)
    assert len(shapes) == 1 and shapes[0].weights.tolist() == [1]
    still.poses[:] = 0
    assert correctives(still) == []
