import time
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion import HUMANML3D, Motion
from motionmamba.motion.body import EMBEDDED_BODY, Body, BodyMotion
from motionmamba.motion.feet import ANKLES, TOES, find_contacts
from motionmamba.motion.fitting import fit_body
from motionmamba.motion.skeleton import KIT, mirror_joints
from motionmamba.motion.smoothing import smooth

FOOT_JOINTS = ANKLES + TOES
FPS = 20.0


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.load()


@cache
def walk(seed: int = 0, frames: int = 80, slip: float = 0.0) -> BodyMotion:
    """The shipped body walks on soles that stay flat on y = 0, but for a slip in metres a second.

    Each foot stands 0.6 s and is lifted for 0.4 s; knees bend as they must, arms swing.
    """
    body = Body.load()
    rng = np.random.default_rng(seed)
    betas = np.zeros(body.num_betas, np.float32)
    betas[body.fitted] = rng.normal(size=len(betas[body.fitted])) * 1.5
    rest = body.rest(betas)[1][:22].astype(np.float64)
    floor = body.rest(betas)[0][:, 1].min()
    time, stride = np.arange(frames) / FPS, 0.7
    poses = np.zeros((frames, body.num_joints, 3))
    trans = np.stack([0 * time, -floor - 0.05 + 0 * time, stride * time], axis=1)
    for ankle, phase in zip(ANKLES, (0.0, 0.5), strict=True):
        step = time + phase
        lifted = np.clip((step % 1 - 0.6) / 0.4, 0, 1)
        place = np.floor(step) + (1 - np.cos(np.pi * lifted)) / 2 - phase + 0.3
        goal = rest[ankle] + np.stack(
            [0 * time, -floor + 0.12 * np.sin(np.pi * lifted), stride * place], axis=1
        )
        goal[:, 2] += slip * (step % 1)
        poses[:, [ankle - 6, ankle - 3, ankle]] = _leg(rest, ankle, goal - trans)
    for shoulder, sign in ((16, 1), (17, -1)):
        swing = Rotation.from_euler("X", 0.5 * sign * np.sin(2 * np.pi * time)[:, None])
        poses[:, shoulder] = (swing * Rotation.from_euler("Z", -1.2 * sign)).as_rotvec()
        poses[:, shoulder + 2, 1] = -0.4 * sign
    poses[:, 9, 1] = 0.1 * np.sin(2 * np.pi * time)
    poses, trans = poses.astype(np.float32), trans.astype(np.float32)
    return BodyMotion(body, poses, trans, betas, FPS)


def _leg(rest: np.ndarray, ankle: int, goal: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) of hip, knee and level ankle that put the ankle there."""
    hip, knee = rest[ankle - 6], rest[ankle - 3]
    thigh, shin, line = knee - hip, rest[ankle] - knee, goal - hip
    # knees bend about X, and the leg is to be as long as its ankle is far
    far = ((line**2).sum(-1) - thigh @ thigh - shin @ shin) / 2 - thigh[0] * shin[0]
    cos, sin = thigh[1:] @ shin[1:], thigh[2] * shin[1] - thigh[1] * shin[2]
    angle = np.arctan2(sin, cos) + np.arccos(far / np.hypot(sin, cos))
    bend = Rotation.from_rotvec(angle[:, None] * (1, 0, 0))
    bent = knee - hip + bend.apply(rest[ankle] - knee)
    turns = []
    for old, new, more in zip(bent, line, bend, strict=True):
        hip_turn = Rotation.align_vectors(new[None], old[None])[0]
        turns.append([hip_turn.as_rotvec(), more.as_rotvec(), (hip_turn * more).inv().as_rotvec()])
    return np.array(turns)


def fitted(motion: BodyMotion, **options) -> BodyMotion:
    return fit_body(Motion(joints=motion.joints, fps=motion.fps, prompt=motion.prompt), **options)


def off(motion: BodyMotion, joints: np.ndarray) -> np.ndarray:
    """Metres (T, 22) by which joints are off."""
    return np.linalg.norm(motion.joints - joints, axis=-1)


def slides(motion: BodyMotion, joints: np.ndarray) -> list[float]:
    """How far toes go over the floor in each stance of the joints that were fitted."""
    contacts = find_contacts(smooth(joints.astype(np.float64)), motion.fps)
    far = []
    for foot, start, stop in contacts.stances:
        for joint, stands in ((TOES[foot], contacts.toe), (ANKLES[foot], contacts.ankle)):
            place = motion.joints[start:stop, joint][stands[start:stop, foot]][:, ::2]
            if len(place):
                far.append(np.linalg.norm(place - place[0], axis=-1).max())
    assert far
    return far


def soles(motion: BodyMotion) -> np.ndarray:
    """Heights (T, 2) of the lowest vertices of both feet."""
    owner = motion.body.weights.argmax(1)
    heights = motion.vertices()[..., 1]
    feet = zip(ANKLES, TOES, strict=True)
    return np.stack([heights[:, np.isin(owner, foot)].min(1) for foot in feet], axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_body_that_moves_comes_back(seed):
    source = walk(seed)
    for lock_feet, mean, most in ((False, 0.002, 0.01), (True, 0.004, 0.03)):
        motion = fitted(source, lock_feet=lock_feet)
        error = off(motion, source.joints)
        assert error.mean() < mean and error.max() < most
        np.testing.assert_allclose(motion.betas, source.betas, atol=0.8)
        assert np.abs(motion.betas - source.betas).mean() < 0.25


def test_rotations_come_back():
    source = walk()
    motion = fitted(source, lock_feet=False)
    shown = [0, 1, 2, 4, 5, 16, 17, 18, 19]  # the spine shares what spine3 alone had
    turn, other = (Rotation.from_rotvec(m.poses[:, shown].reshape(-1, 3)) for m in (source, motion))
    assert np.degrees((turn.inv() * other).magnitude()).max() < 8


def test_prompt_and_rate_stay():
    source = Motion(walk().joints, fps=30.0, prompt="she walks")
    motion = fit_body(source)
    assert (motion.fps, motion.prompt, len(motion)) == (30.0, "she walks", len(source))
    assert motion.poses.dtype == motion.trans.dtype == motion.betas.dtype == np.float32


@pytest.mark.parametrize(("lock_feet", "most"), [(False, 0.005), (True, 0.012)])
def test_recording_is_met(shared_data, lock_feet, most):
    folder = shared_data / "humanml3d"
    for path in ("new_joints/012314.npy", "reference/variant_joints.npy"):
        joints = np.load(folder / path)
        assert off(fit_body(Motion(joints), lock_feet=lock_feet), joints).mean() < most


@pytest.mark.parametrize("seed", range(8))
def test_made_up_motion_is_met(seed):
    joints, _ = make_motion(np.random.default_rng(seed))
    motion = fit_body(Motion(joints))
    assert off(motion, joints).mean() < 0.015
    assert max(slides(motion, joints)) < 0.01
    assert soles(motion).min() > -0.01


def test_feet_of_a_recording_stand(shared_data):
    joints = np.load(shared_data / "humanml3d" / "new_joints" / "012314.npy")
    loose, locked = (fit_body(Motion(joints), lock_feet=lock) for lock in (False, True))
    assert max(slides(locked, joints)) < 0.01 < max(slides(loose, joints))
    assert soles(locked).min() > -0.005 > -0.01 > soles(loose).min()
    # and nothing else starts to twitch
    steps = [np.linalg.norm(np.diff(j, 2, axis=0), axis=-1).mean() for j in (joints, locked.joints)]
    assert steps[1] < 1.1 * steps[0]


@pytest.mark.parametrize("slip", [0.0, 0.03])
def test_feet_that_stand_are_flat_and_do_not_slide(slip):
    source = walk(slip=slip)
    motion = fitted(source)
    assert max(slides(motion, source.joints)) < 0.005
    assert soles(motion).min() > -0.005
    contacts = find_contacts(source.joints.astype(np.float64), FPS)
    flat = contacts.ankle & contacts.toe
    assert 0.4 < flat.mean() < 0.7
    assert np.abs(soles(motion)[flat]).max() < 0.006
    toes, ankles = motion.joints[:, TOES, 1], motion.joints[:, ANKLES, 1]
    drop = motion.body.rest(motion.betas)[1]
    drop = (drop[ANKLES] - drop[TOES])[:, 1]
    assert np.abs((ankles - toes - drop)[flat]).max() < 0.004


def test_recorded_feet_that_are_pitched_are_flat_on_the_body():
    source = walk()
    joints = source.joints.copy()
    joints[:, TOES, 1] -= 0.03  # another skeleton, whose toes are lower under its ankles
    motion = fit_body(Motion(joints))
    contacts = find_contacts(joints.astype(np.float64), FPS)
    flat = contacts.ankle & contacts.toe
    assert flat.mean() > 0.4 and np.ptp(soles(motion)[flat]) < 0.01


def test_knees_neither_snap_nor_bend_backwards():
    joints = walk(slip=0.06).joints
    motion = fit_body(Motion(joints))
    knees = Rotation.from_rotvec(motion.poses[:, [4, 5]].reshape(-1, 3)).as_matrix()
    bend = np.degrees(np.arctan2(knees[:, 2, 1], knees[:, 1, 1])).reshape(-1, 2)
    source = np.degrees(walk(slip=0.06).poses[:, [4, 5], 0])
    assert bend.min() > -12  # of a body whose legs are a little bent at rest
    assert np.abs(np.diff(bend, axis=0)).max() < 1.5 * np.abs(np.diff(source, axis=0)).max()


@pytest.mark.parametrize("height", [-0.4, 0.3])
def test_floor_of_a_motion_is_where_it_stands(height):
    joints = walk().joints + np.array([0, height, 0], np.float32)
    motion = fit_body(Motion(joints))
    assert off(motion, joints).mean() < 0.005
    assert soles(motion).min() == pytest.approx(height, abs=0.006)


def test_toes_on_zero_put_soles_there():
    joints = walk().joints.copy()
    joints[..., 1] -= joints[:, TOES, 1].min()
    motion = fit_body(Motion(joints))
    assert np.abs(soles(motion).min()) < 0.005 and off(motion, joints).mean() < 0.012


def test_noise_goes_and_motion_stays():
    joints = walk(frames=120).joints
    noisy = joints + np.random.default_rng(0).normal(size=joints.shape).astype(np.float32) * 0.01
    assert np.linalg.norm(smooth(joints.astype(np.float64)) - joints, axis=-1).max() < 0.005
    before = np.linalg.norm(noisy - joints, axis=-1).mean()
    motion = fit_body(Motion(noisy))
    assert off(motion, joints).mean() < 0.75 * before
    assert max(slides(motion, noisy)) < 0.01
    jerk = [np.abs(np.diff(j, 3, axis=0)).mean() for j in (joints, noisy, motion.joints)]
    assert jerk[2] < 0.5 * jerk[1] and jerk[2] < 1.5 * jerk[0]


def test_fast_motion_is_not_damped():
    time = np.arange(100) / FPS
    joints = walk(frames=100).joints.astype(np.float64)
    joints[:, 20, 1] += 0.15 * np.sin(2 * np.pi * 3 * time)  # three waves in a second
    noise = np.random.default_rng(0).normal(size=joints.shape) * 0.01
    swing = [np.abs(np.diff(j[:, 20, 1], 2)).mean() for j in (joints, smooth(joints + noise))]
    assert swing[1] > 0.85 * swing[0]


def test_mirrored_motion_gives_the_mirrored_body():
    joints = walk().joints
    straight, mirrored = (fit_body(Motion(j)) for j in (joints, mirror_joints(joints)))
    assert np.abs(mirror_joints(straight.joints) - mirrored.joints).max() < 0.004
    np.testing.assert_allclose(straight.betas, mirrored.betas, atol=0.05)


def test_same_motion_gives_the_same_body():
    for refine in (False, True):
        one, two = (fitted(walk(), refine=refine) for _ in range(2))
        assert (one.poses == two.poses).all() and (one.trans == two.trans).all()


def test_shape_that_is_given_is_kept_and_bones_are_fitted(body):
    source = walk()
    shape = body.betas(gender=2.0, weight=1.0)[: len(body.shape_names)]
    motion = fitted(source, betas=shape)
    np.testing.assert_array_equal(motion.betas[: len(shape)], shape)
    assert np.abs(motion.betas[body.fitted]).max() > 0.5
    assert off(motion, source.joints).mean() < 0.012


@pytest.mark.parametrize("height", [-2.0, 2.0])
def test_motion_is_carried_over_to_another_body(body, height):
    source = walk()
    betas = body.betas(height=height)
    motion = fitted(source, betas=betas)
    np.testing.assert_array_equal(motion.betas, betas)
    assert np.abs(soles(motion).min()) < 0.006
    assert max(slides(motion, source.joints)) < 0.01
    path = [np.ptp(m.trans[:, 2]) for m in (source, motion)]
    leg = [np.ptp(m.body.rest(m.betas)[1][[1, 7], 1]) for m in (source, motion)]
    assert path[1] / path[0] == pytest.approx(leg[1] / leg[0], abs=0.05)
    limbs = [m.poses[:, [1, 2, 4, 5, 16, 17, 18, 19]].reshape(-1, 3) for m in (source, motion)]
    turn, other = map(Rotation.from_rotvec, limbs)
    assert np.degrees((turn.inv() * other).magnitude()).max() < 15


@pytest.mark.parametrize("betas", [np.zeros(99), np.zeros((2, 3)), [np.nan]])
def test_betas_that_a_body_has_not_are_refused(betas):
    with pytest.raises(ValueError, match="betas have shape .* or fewer finite numbers"):
        fitted(walk(), betas=betas)


@pytest.mark.parametrize("lock_feet", [False, True])
def test_refining_brings_joints_nearer(lock_feet):
    joints = walk(3).joints.astype(np.float64)
    bones = joints - joints[:, HUMANML3D.parents]
    bones[:, [1, 12, 14]] += (0, 0.03, 0.04)  # branches that are not those of the body
    for joint, parent in enumerate(HUMANML3D.parents[1:], 1):
        joints[:, joint] = joints[:, parent] + bones[:, joint]
    plain, refined = (
        fit_body(Motion(joints), lock_feet=lock_feet, refine=refine) for refine in (False, True)
    )
    assert (off(refined, joints) ** 2).mean() < 0.95 * (off(plain, joints) ** 2).mean()
    if lock_feet:
        assert max(slides(refined, joints)) < 0.01 and soles(refined).min() > -0.01


@pytest.mark.parametrize("frames", [1, 2, 3, 11, 12])
def test_short_motion_is_fitted(frames):
    joints = walk().joints[:frames]
    for refine in (False, True):
        motion = fit_body(Motion(joints), refine=refine)
        assert len(motion) == frames and off(motion, joints).mean() < 0.01


def test_long_motion_is_fitted():
    joints = np.concatenate([walk().joints, walk().joints[::-1]] * 75)
    motion = fit_body(Motion(joints))
    assert len(motion) == 12000 and off(motion, joints).mean() < 0.015


def test_kit_motion_is_fitted():
    joints = np.zeros((30, KIT.num_joints, 3))
    for joint, parent in enumerate(KIT.parents[1:], 1):
        bone = 0.2 * np.array(KIT.bone_directions[joint])
        joints[:, joint] = joints[:, parent] + bone
    motion = fit_body(Motion(joints))
    assert motion.joints.shape == (30, 22, 3) and np.isfinite(motion.poses).all()


@pytest.mark.parametrize(
    "joints", [np.zeros((3, 22, 3)), np.random.default_rng(0).normal(size=(30, 22, 3))]
)
def test_odd_joints_give_finite_poses(joints):
    motion = fit_body(Motion(joints))
    assert np.isfinite(motion.poses).all() and np.isfinite(motion.joints).all()


@pytest.mark.parametrize("joints", [24, 52, 55])
def test_official_layouts_are_fitted(tmp_path, joints):
    """The shipped body in the layout of SMPL, SMPL-H and SMPL-X, with shapes of that order."""
    with np.load(EMBEDDED_BODY) as file:
        names = ("v_template", "f", "J_regressor", "kintree_table", "weights", "posedirs")
        arrays = {name: file[name].astype(np.float64) for name in names}
        directions = file["shapedirs"].astype(np.float64)
    if joints > 24:  # hands of fifteen joints each, where the body has one
        above = [15] * (joints - 52)
        for wrist in (20, 21):
            for _ in range(5):
                above += [wrist, 22 + len(above), 23 + len(above)]
        regressor, weights = arrays["J_regressor"], arrays["weights"]
        arrays["J_regressor"] = regressor[[*range(22), *[22] * len(above)]]
        weights[:, 20:22] += weights[:, 22:]
        arrays["weights"] = np.pad(weights[:, :22], ((0, 0), (0, len(above))))
        arrays["posedirs"] = np.zeros((len(weights), 3, 9 * (joints - 1)))
        parents = [-1, *HUMANML3D.parents[1:], *above]
        arrays["kintree_table"] = np.stack([parents, np.arange(joints)])
    arrays["shapedirs"] = directions[..., -14:]
    np.savez(tmp_path / "body.npz", **arrays)
    body = Body.load(tmp_path / "body.npz")
    assert body.num_joints == joints
    source = walk()
    motion = fitted(source, body=body)
    assert motion.poses.shape == (len(source), joints, 3)
    assert off(motion, source.joints).mean() < 0.015
    assert max(slides(motion, source.joints)) < 0.01 and soles(motion).min() > -0.01
    fingers = motion.poses[:, 22:]
    assert (np.abs(fingers).max() > 0.1) == (joints > 24) and np.abs(fingers).max() < 0.5


def test_is_fast():
    joints = np.concatenate([walk().joints, walk().joints[::-1]] * 8)[:1200]
    fit_body(Motion(joints))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        fit_body(Motion(joints))
        times.append(time.perf_counter() - start)
    assert min(times) / len(joints) < 1e-3  # ten times what it takes, for busy machines
