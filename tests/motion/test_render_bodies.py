"""Bodies drawn by OpenGL; skipped, with the reason, where a renderer cannot run."""

import os
import subprocess
import sys
from dataclasses import dataclass

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from motionmamba.motion.body import Body, BodyMotion
from motionmamba.motion.render import (
    backends,
    describe_renderers,
    render_frame,
    render_sequence,
    render_strip,
    render_video,
)
from motionmamba.motion.render.backends import open_renderer, why_not
from motionmamba.motion.render.bodies import Pose
from motionmamba.motion.render.camera import View, shoot
from motionmamba.motion.render.clips import make_clips
from motionmamba.motion.render.panel import make_panels

SIZE = (200, 160)
RENDERERS = ("moderngl", "pyrender")


@dataclass
class Joints:
    joints: np.ndarray
    fps: float = 20.0
    prompt: str = ""


@pytest.fixture(params=RENDERERS)
def renderer(request):
    reason = why_not(request.param)
    if reason is not None:
        pytest.skip(f"{request.param} cannot run here: {reason}")
    return request.param


@pytest.fixture(scope="module")
def body():
    return Body.load()


def posed(body: Body, frames: int = 3, travel: float = 0.0, prompt: str = "") -> BodyMotion:
    """Standing with arms that sink to the sides, on the floor, moving ahead by `travel` metres."""
    poses = np.zeros((frames, body.num_joints, 3), np.float32)
    sink = np.linspace(0.9, 1.2, frames)
    poses[:, 16, 2], poses[:, 17, 2] = -sink, sink
    trans = np.zeros((frames, 3), np.float32)
    trans[:, 1] = -body.rest(body.shapes["neutral"])[0][:, 1].min()
    trans[:, 2] = np.linspace(0, travel, frames)
    return BodyMotion(body, poses, trans, body.shapes["neutral"], 20.0, prompt)


def alpha_of(motion, renderer: str, **options) -> np.ndarray:
    image = render_frame(
        motion, 0, size=SIZE, renderer=renderer, transparent=True, caption=False, **options
    )
    assert image.mode == "RGBA"
    return np.asarray(image)[..., 3]


def test_a_body_and_its_shadow_are_all_there_is_without_a_background(renderer, body):
    alpha = alpha_of(posed(body), renderer)
    figure = alpha == 255
    rows, columns = np.nonzero(figure)
    assert figure.mean() > 0.02
    assert np.ptp(rows) > 0.5 * SIZE[1] and np.ptp(columns) > 0.1 * SIZE[0]
    for edge in (alpha[0], alpha[:, 0], alpha[:, -1]):
        assert not edge.any()
    shadow = (alpha > 40) & (alpha < 160)
    assert shadow.sum() > 60
    # The shadow starts at the feet and lies on the ground, which is below the knees.
    lowest = np.argwhere(figure)[-40:].mean(0)
    assert np.abs(np.argwhere(shadow) - lowest).max(1).min() < 4
    assert np.nonzero(shadow)[0].mean() > np.quantile(rows, 0.7)


def test_the_shadow_darkens_the_floor(renderer, body):
    picture = render_frame(posed(body), 0, size=SIZE, renderer=renderer, caption=False)
    alpha = alpha_of(posed(body), renderer)
    grey = np.asarray(picture.convert("L"), float)
    shadow = (alpha > 80) & (alpha < 160)
    shadow &= np.roll(shadow, 1, 1) & np.roll(shadow, -1, 1)
    rows = np.unique(np.nonzero(shadow)[0])
    floor = (alpha == 0) & np.isin(np.arange(SIZE[1]), rows)[:, None]
    assert grey[shadow].mean() < 0.8 * grey[floor].mean()


def test_renderers_agree_on_where_a_body_is(body):
    for name in RENDERERS:
        if why_not(name) is not None:
            pytest.skip(f"{name} cannot run here: {why_not(name)}")
    first, second = (alpha_of(posed(body), name) > 230 for name in RENDERERS)
    assert (first ^ second).sum() < 0.03 * first.sum()


def test_pixels_are_where_the_camera_says(renderer, body):
    """The silhouette is that of the vertices projected by numpy."""
    clip = make_clips([posed(body)], True, None)[0]
    camera = shoot(clip.joints, clip.figure, 20.0, SIZE, (20, 10, 150, 150))
    drawing = open_renderer(renderer)
    stage = drawing.stage(View(camera, SIZE, clip.figure.floor, transparent=True))
    drawn = stage.draw(0, [Pose(clip.figure, 0)])[..., 3] > 230
    drawing.close()
    pixels, _ = camera.project(clip.figure.vertices(0), 0)
    expected = np.zeros(SIZE[::-1], bool)
    expected[tuple(pixels.astype(int).T[::-1])] = True
    assert drawn[expected].mean() > 0.7
    rows, columns = np.nonzero(drawn)
    low, high = pixels.min(0), pixels.max(0)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_allclose(found, (*low, *high), atol=1.5)


def test_colours_are_those_of_the_body(renderer, body):
    shown = []
    for red in (False, True):
        painted = Body.__new__(Body)
        painted.__dict__.update(body.__dict__)
        painted.colors = np.tile(
            np.uint8([200, 60, 60] if red else [60, 60, 200]), (len(body.colors), 1)
        )
        image = np.asarray(
            render_frame(posed(painted), 0, size=SIZE, renderer=renderer, transparent=True), float
        )
        shown.append(image[image[..., 3] == 255].mean(0))
    assert shown[1][0] > shown[1][2] + 60
    assert shown[0][2] > shown[0][0] + 60


def test_the_light_comes_from_the_upper_left(renderer, body):
    motion = posed(body)
    plain = Body.__new__(Body)
    plain.__dict__.update(body.__dict__)
    plain.colors = np.full_like(body.colors, 170)
    motion = BodyMotion(plain, motion.poses, motion.trans, motion.betas, 20.0)
    image = np.asarray(render_frame(motion, 0, size=SIZE, renderer=renderer, transparent=True))
    grey, figure = image[..., :3].mean(-1), image[..., 3] == 255
    columns = np.nonzero(figure)[1]
    left = figure & (np.arange(SIZE[0]) < np.quantile(columns, 0.35))
    right = figure & (np.arange(SIZE[0]) > np.quantile(columns, 0.65))
    assert grey[left].mean() > grey[right].mean() + 2


def test_bodies_stay_in_the_frame_on_their_way(renderer, body):
    motion = posed(body, 40, travel=4.0)
    clips = make_clips([motion], True, None)
    drawing = open_renderer(renderer)
    panel = make_panels(clips, SIZE, drawing, transparent=True)[0]
    assert panel.camera.moves
    for frame in (0, 20, 39):
        stage = drawing.stage(panel.view)
        solid = stage.draw(frame, [Pose(clips[0].figure, frame)])[..., 3] > 230
        rows, columns = np.nonzero(solid)
        assert rows.min() > 2 and rows.max() < SIZE[1] - 3
        assert columns.min() > 2 and columns.max() < SIZE[0] - 3
        assert np.ptp(rows) > 0.5 * SIZE[1]
    drawing.close()


def test_joints_are_given_a_body(renderer, shared_data, tmp_path):
    joints = np.load(shared_data / "humanml3d" / "new_joints" / "012314.npy")
    motion = Joints(joints[:5], prompt="a person moves")
    path = render_video([motion], tmp_path / "film.mp4", size=SIZE, renderer=renderer)
    assert list(tmp_path.iterdir()) == [path]
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    frames = [np.frombuffer(frame, np.uint8).reshape(*SIZE[::-1], 3) for frame in reader]
    assert (meta["codec"], meta["size"], meta["fps"]) == ("h264", SIZE, 20)
    assert meta["pix_fmt"].startswith("yuv420p")
    assert len(frames) == 5
    wanted = np.asarray(render_frame(motion, 4, size=SIZE, renderer=renderer), float)
    assert np.abs(frames[4] - wanted).mean() < 5
    one = render_frame(Joints(joints[:1]), 0, size=SIZE, renderer=renderer)
    assert np.asarray(one).std() > 5


def test_the_floor_is_under_feet_not_hands(body):
    reaching = posed(body, frames=40)
    feet = reaching.vertices()[..., 1].min()
    reaching.poses[20:, 0, 0] = np.pi
    reaching.poses[20:, 16:18] = 0
    reaching.trans[20:, 1] -= reaching.vertices(20, 21)[..., 1].min() - feet + 0.1
    assert make_clips([reaching], True, None)[0].figure.floor == pytest.approx(feet, abs=1e-3)


def test_films_of_another_frame_rate_show_what_lies_between(renderer, body):
    motion = posed(body, 3)
    half, whole = (make_clips([motion], True, None, fps)[0] for fps in (40.0, 20.0))
    assert len(half.joints) == 5
    before, after = whole.figure.vertices(0), whole.figure.vertices(1)
    np.testing.assert_allclose(half.figure.vertices(1), 0.5 * (before + after), atol=1e-6)
    np.testing.assert_allclose(half.figure.vertices(4), whole.figure.vertices(2), atol=1e-6)


def test_frames_are_read_a_few_at_a_time(body):
    asked = []

    class Counted(BodyMotion):
        def vertices(self, start=0, stop=None):
            asked.append((start, stop))
            return super().vertices(start, stop)

    motion = posed(body, 80)
    motion = Counted(**{name: getattr(motion, name) for name in motion.__dataclass_fields__})
    figure = make_clips([motion], True, None)[0].figure
    asked.clear()
    wanted = BodyMotion.vertices(motion)
    for frame in range(80):
        np.testing.assert_allclose(figure.vertices(frame), wanted[frame], atol=1e-5)
    assert max(stop - start for start, stop in asked) <= 32
    assert len(asked) < 6


def test_several_bodies_share_a_picture(renderer, body, tmp_path):
    path = tmp_path / "sequence.png"
    walk = posed(body, 9, travel=4.0)
    render_sequence(walk, path, frames=3, size=(360, 140), renderer=renderer, transparent=True)
    alpha = np.asarray(Image.open(path))[..., 3]
    columns = np.flatnonzero((alpha > 230).sum(0) > 4)
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 2) + 1)
    assert len([group for group in groups if len(group) > 4]) == 3
    # Where the bodies are not, the trail is.
    between = slice(groups[0].max() + 4, groups[1].min() - 4)
    assert (alpha[:, between] > 20).any(0).mean() > 0.8

    strip = render_strip(
        [walk], tmp_path / "strip.png", frames=3, size=(100, 120), renderer=renderer
    )
    with Image.open(strip) as image:
        assert image.width == 304


def test_the_order_of_windings_does_not_matter(body):
    if why_not("moderngl") is not None:
        pytest.skip(f"moderngl cannot run here: {why_not('moderngl')}")
    turned = Body.__new__(Body)
    turned.__dict__.update(body.__dict__)
    turned.faces = body.faces[:, ::-1].copy()
    first, second = (
        np.asarray(render_frame(posed(each), 0, size=SIZE, renderer="moderngl"), int)
        for each in (body, turned)
    )
    assert np.abs(first - second).max() < 4


def test_renderers_take_turns_in_one_process(body):
    for name in RENDERERS:
        if why_not(name) is not None:
            pytest.skip(f"{name} cannot run here: {why_not(name)}")
    first, _, again = (alpha_of(posed(body), name) for name in ("moderngl", "pyrender", "moderngl"))
    np.testing.assert_array_equal(first, again)


def test_pyrender_leaves_no_trace():
    if why_not("pyrender") is not None:
        pytest.skip(f"pyrender cannot run here: {why_not('pyrender')}")
    before = os.environ.get("PYOPENGL_PLATFORM")
    drawing = open_renderer("pyrender")
    assert drawing.device in ("pyrender on EGL", "pyrender on OSMesa")
    drawing.close()
    assert os.environ.get("PYOPENGL_PLATFORM") == before
    assert "infty" not in vars(np)
    assert "pyrender.viewer" not in sys.modules


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
def test_a_broken_body_is_still_a_picture(renderer, scale):
    joints = np.random.default_rng(0).normal(size=(2, 22, 3)) * scale
    picture = np.asarray(render_frame(Joints(joints), 0, size=SIZE, renderer=renderer))
    assert picture.shape == (*SIZE[::-1], 3)


@pytest.fixture
def no_gl(monkeypatch):
    """A machine on which the trial of every renderer ends as the test says."""

    def set_outcome(outcome):
        def run(command, **options):
            if isinstance(outcome, Exception):
                raise outcome
            return subprocess.CompletedProcess(command, *outcome)

        backends._try.cache_clear()
        monkeypatch.setattr(backends.subprocess, "run", run)

    yield set_outcome
    backends._try.cache_clear()


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ((1, "", "Traceback\nModuleNotFoundError: No module named 'moderngl'\n"), "pip install"),
        ((1, "", "Exception: libEGL.so.1 not loaded.\n"), "apt install libegl1 libgl1"),
        ((-11, "", ""), "exit status -11.*apt install libegl1 libgl1"),
        (subprocess.TimeoutExpired("python", 60), "did not answer within 60 seconds"),
    ],
)
def test_without_opengl_a_mannequin_is_drawn(no_gl, body, outcome, words):
    no_gl(outcome)
    with pytest.warns(UserWarning, match=f"A mannequin is drawn.*{words}"):
        image = render_frame(posed(body), 0, size=SIZE)
    wanted = render_frame(posed(body), 0, size=SIZE, body="skeleton")
    np.testing.assert_array_equal(np.asarray(image), np.asarray(wanted))
    with pytest.raises(ValueError, match=f"moderngl cannot run here: .*{words}"):
        render_frame(posed(body), 0, size=SIZE, renderer="moderngl")
    with pytest.raises(ValueError, match="pyrender cannot run here: .*(libosmesa6|pip install)"):
        render_frame(posed(body), 0, size=SIZE, renderer="pyrender")
    lines = describe_renderers()
    assert [line.split(":")[0] for line in lines] == ["moderngl", "pyrender", "software"]
    assert "cannot run here" in lines[0] and "cannot" not in lines[2]


def test_pyrender_goes_on_to_osmesa(no_gl, monkeypatch):
    def run(command, **options):
        works = "'pyrender', 1" in command[-1]
        out = "pyrender on OSMesa\n" if works else ""
        return subprocess.CompletedProcess(command, 0 if works else 1, out, "no display")

    no_gl((1, "", ""))
    monkeypatch.setattr(backends.subprocess, "run", run)
    assert why_not("pyrender") is None
    assert describe_renderers()[1] == "pyrender: pyrender on OSMesa"
