import numpy as np
import pytest

from motionmamba.data.captions import Action
from motionmamba.data.join import BLEND, Take, connect, join_takes
from motionmamba.data.procedural import MAKERS, pose

FRAMES = 70


def _motion(kind: str, seed: int = 0, side: str = "", frames: int = FRAMES) -> np.ndarray:
    return pose(MAKERS[kind](np.random.default_rng(seed), frames, side)).astype(np.float32)


def _moved(joints: np.ndarray, angle: float, place=(3.0, -2.0)) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    x, z = joints[..., 0], joints[..., 2]
    ground = cos * x + sin * z + place[0], cos * z - sin * x + place[1]
    return np.stack([ground[0], joints[..., 1], ground[1]], axis=-1).astype(np.float32)


def _takes(styles=("normal", "sad")):
    takes = []
    for style in styles:
        for seed in range(4):
            for kind, side in (("walk", ""), ("raise", "left"), ("raise", "right"), ("run", "")):
                joints = _moved(_motion(kind, seed, side), seed)
                action = Action(kind, side, style)
                takes.append(Take(f"{kind}{side}-{style}-{seed}", joints, action))
    return takes


@pytest.mark.parametrize("angle", [0.0, 1.0, 3.0])
def test_a_motion_cut_and_moved_is_whole_again(angle):
    whole = _motion("walk", 3)
    joined = connect(whole[:40], 30, _moved(whole[20:], angle), 10)
    assert len(joined) == len(whole)
    np.testing.assert_allclose(joined, whole, atol=1e-4)


def test_seams_are_smooth():
    first, second = _motion("walk", 1), _moved(_motion("run", 2), 2.0)
    joined = connect(first, 50, second, 20)
    np.testing.assert_array_equal(joined[:51], first[:51])
    assert len(joined) == 51 + FRAMES - 21
    jump = np.linalg.norm(np.diff(joined, axis=0), axis=-1).max(-1)
    usual = max(np.linalg.norm(np.diff(m, axis=0), axis=-1).max() for m in (first, second))
    assert jump[49 : 51 + BLEND].max() < 1.5 * usual
    # after the blend the second motion is as it was, but for where it stands
    tail, source = joined[51 + BLEND :], second[21 + BLEND :]
    for frames in (tail, source):
        frames -= frames[:1, :1] * (1, 0, 1)
    np.testing.assert_allclose(tail[..., 1], source[..., 1], atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(tail[:, 0], axis=-1), np.linalg.norm(source[:, 0], axis=-1), atol=1e-3
    )


def test_joined_takes_keep_limits_style_and_labels():
    takes = {take.name: take for take in _takes()}
    clips = list(join_takes(list(takes.values()), 30, 160, np.random.default_rng(0)))
    assert len(clips) > 20
    assert len({name for name, _, _ in clips}) == len(clips)
    for name, joints, actions in clips:
        assert joints.shape[1:] == (22, 3) and 40 <= len(joints) <= 160
        assert np.isfinite(joints).all()
        parts = [takes[part] for part in name.split("_", 2)[2].split("+")]
        assert len({part.action.style for part in parts}) == 1
        assert {a.style for a in actions} == {parts[0].action.style}
        if actions[0].kind != "stand":
            assert [(a.kind, a.side) for a in actions] == [
                (p.action.kind, p.action.side) for p in parts
            ]


def test_one_seed_gives_one_result():
    first, second = (list(join_takes(_takes(), 8, 160, np.random.default_rng(7))) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a[0] == b[0] and a[2] == b[2]
        np.testing.assert_array_equal(a[1], b[1])


def test_nothing_to_join():
    rng = np.random.default_rng(0)
    assert list(join_takes([], 5, 160, rng)) == []
    assert list(join_takes(_takes()[:1], 5, 160, rng)) == []
    assert list(join_takes(_takes(), 0, 160, rng)) == []
