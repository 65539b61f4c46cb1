"""What the worker makes of prompts and scenes."""

import numpy as np
import pytest

from motionmamba import cli
from motionmamba.app.limits import COLOURS, Look, Refused
from motionmamba.app.nearness import FAR, Nearness
from motionmamba.app.timeline import join_scenes
from motionmamba.motion.body import Body
from motionmamba.motion.skeleton import mirror_joints


@pytest.fixture(scope="module")
def nearness(text_encoder):
    return Nearness(text_encoder)


def test_prompts_like_the_captions_are_near_and_others_far(nearness):
    near = ("a person walks in a circle", "someone waves with the left hand", "an old man walks")
    far = ("the stock market crashed today", "a man plays the violin", "a person swims", "asdf")
    assert all(nearness.nearest(prompt)[0] > FAR + 0.1 for prompt in near)
    assert all(nearness.nearest(prompt)[0] < FAR for prompt in far)
    assert nearness.note(near) == ""
    told = nearness.note((near[0], far[0]))
    assert far[0] in told and near[0] not in told


def test_scenes_go_on_from_each_other(shared_data):
    paths = (shared_data / "humanml3d" / "new_joints").glob("*.npy")
    take = next(joints for joints in map(np.load, sorted(paths)) if len(joints) >= 80)[:80]
    takes = [take, mirror_joints(take)]
    joined = join_scenes(takes)
    assert 100 < len(joined) < 185 and np.isfinite(joined).all()
    steps = np.linalg.norm(np.diff(joined, axis=0), axis=-1).max()
    usual = max(np.linalg.norm(np.diff(take, axis=0), axis=-1).max() for take in takes)
    assert steps < 1.5 * usual + 0.05
    assert np.array_equal(join_scenes(takes[:1]), takes[0])


def test_scenes_too_short_to_join_are_refused():
    with pytest.raises(Refused, match="Scene 2"):
        join_scenes([np.zeros((4, 22, 3)), np.zeros((4, 22, 3))])


def test_shirts_are_painted_and_the_body_is_left_alone():
    from motionmamba.app.studio import _betas, _painted

    body = Body.load()
    before = body.colors.copy()
    red = _painted(body, COLOURS["Red"])
    changed = (red.colors != before).any(1)
    assert 0.05 < changed.mean() < 0.5 and (red.colors[changed] == COLOURS["Red"]).all()
    assert np.array_equal(body.colors, before)
    assert np.array_equal(_painted(body, COLOURS["Blue"]).colors, before)
    assert _betas(body, Look(shape={"height": 0.0})) is None
    assert _betas(body, Look(shape={"height": 1.0}))[body.shape_names.index("height")] > 0
    with pytest.raises(Refused, match="no wings"):
        _betas(body, Look(shape={"wings": 1.0}))


@pytest.mark.parametrize("arguments", [["--auth", "nobody"], ["--port", "99999"]])
def test_bad_options_are_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.run(cli.app, ["app", *arguments])
    assert exit_.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
