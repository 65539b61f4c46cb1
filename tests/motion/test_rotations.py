import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from motionmamba.motion.rotations import (
    quaternion_between,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_6d,
)


def random_rotations(seed, count=50):
    rotations = Rotation.random(count, random_state=seed)
    quaternions = rotations.as_quat()[:, [3, 0, 1, 2]]
    return rotations, torch.from_numpy(quaternions)


def random_vectors(seed, count=50):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 3)))


def test_multiply_rotate_and_conjugate_agree_with_scipy():
    (a, qa), (b, qb) = random_rotations(0), random_rotations(1)
    vectors = random_vectors(2)
    product = quaternion_multiply(qa, qb)
    np.testing.assert_allclose(
        quaternion_rotate(product, vectors), (a * b).apply(vectors), atol=1e-12
    )
    np.testing.assert_allclose(
        quaternion_rotate(quaternion_conjugate(qa), vectors), a.inv().apply(vectors), atol=1e-12
    )


def test_rotate_broadcasts():
    _, quaternions = random_rotations(3, 4)
    vectors = random_vectors(4, 5)
    table = quaternion_rotate(quaternions[:, None], vectors)
    assert table.shape == (4, 5, 3)
    torch.testing.assert_close(table[2, 3], quaternion_rotate(quaternions[2], vectors[3]))


def test_6d_is_the_first_two_matrix_columns():
    rotations, quaternions = random_rotations(5)
    matrices = rotations.as_matrix()
    expected = np.concatenate([matrices[:, :, 0], matrices[:, :, 1]], axis=-1)
    np.testing.assert_allclose(quaternion_to_6d(quaternions), expected, atol=1e-12)


def test_between_is_the_shortest_rotation():
    source, target = random_vectors(6), random_vectors(7)
    quaternion = quaternion_between(source, target)
    moved = quaternion_rotate(quaternion, source)
    cosine = torch.nn.functional.cosine_similarity(source, target)
    torch.testing.assert_close(
        moved / moved.norm(dim=-1, keepdim=True), target / target.norm(dim=-1, keepdim=True)
    )
    torch.testing.assert_close(2 * quaternion[:, 0].square() - 1, cosine)
    assert (quaternion[:, 0] >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_between_opposite_vectors_is_a_half_turn(dtype):
    source = torch.cat([torch.eye(3, dtype=dtype), random_vectors(8, 5).to(dtype)])
    quaternion = quaternion_between(source, -2 * source)
    torch.testing.assert_close(quaternion.norm(dim=-1), torch.ones(8, dtype=dtype))
    torch.testing.assert_close(quaternion_rotate(quaternion, source), -source, atol=1e-3, rtol=0)


def test_half_turn_of_the_heading_is_a_yaw():
    front = torch.tensor([0.0, 0.0, 1.0])
    assert quaternion_between(-front, front)[2].abs() == 1
