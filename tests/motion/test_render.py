import os
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from motionmamba.motion import render
from motionmamba.motion.render import raster
from motionmamba.motion.render.backends import open_renderer
from motionmamba.motion.render.camera import Camera
from motionmamba.motion.render.clips import make_clips
from motionmamba.motion.render.figure import LEFT_COLOUR, RIGHT_COLOUR, Solids, mannequin
from motionmamba.motion.render.panel import Lettering, Panel, make_panels

render_frame = partial(render.render_frame, body="skeleton")
render_video = partial(render.render_video, body="skeleton")
render_strip = partial(render.render_strip, body="skeleton")
render_sequence = partial(render.render_sequence, body="skeleton")

SMALL = (128, 96)
LEFT_HALF = [  # x, y, z of the joints on the body's left, and of those in the middle
    *(
        (0, 0.95, 0),
        (0.06, 0.86, 0),
        (0, 1.07, 0),
        (0.1, 0.48, 0),
        (0, 1.21, 0),
        (0.09, 0.06, -0.03),
    ),
    *((0, 1.27, 0), (0.11, 0, 0.1), (0, 1.49, -0.03), (0.08, 1.39, 0), (0, 1.56, 0.04)),
    *((0.2, 1.38, 0), (0.24, 1.12, 0), (0.26, 0.87, 0.03)),
]
LEFT_JOINTS, RIGHT_JOINTS = (1, 4, 7, 10, 13, 16, 18, 20), (2, 5, 8, 11, 14, 17, 19, 21)


@dataclass
class Motion:
    joints: np.ndarray
    fps: float = 20.0
    prompt: str = "a person stands"


def standing(frames: int = 1) -> np.ndarray:
    body = np.zeros((22, 3))
    body[[0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 20]] = LEFT_HALF
    body[list(RIGHT_JOINTS)] = body[list(LEFT_JOINTS)] * (-1, 1, 1)
    return np.repeat(body[None], frames, 0)


def turned(joints: np.ndarray, angles: np.ndarray) -> np.ndarray:
    sin, cos, zero = np.sin(angles), np.cos(angles), np.zeros_like(angles)
    rows = [[cos, zero, -sin], [zero, zero + 1, zero], [sin, zero, cos]]
    return joints @ np.moveaxis(np.array(rows), -1, 0)


def panel_of(joints: np.ndarray, size: tuple[int, int], prompt: str = "") -> Panel:
    clips = make_clips([Motion(joints, prompt=prompt)], False, None)
    return make_panels(clips, size, open_renderer("software"))[0]


def walking() -> np.ndarray:
    joints = standing(60)
    joints[:, :, 2] += np.linspace(0, 6, 60)[:, None]
    return joints


def circling() -> np.ndarray:
    return turned(standing(60) + (2, 0, 0), np.linspace(0, 2 * np.pi, 60))


def jumping() -> np.ndarray:
    joints = standing(20)
    joints[..., 1] += np.abs(np.sin(np.linspace(0, 9, 20)))[:, None]
    return joints


def arms_up() -> np.ndarray:
    joints = standing(3)
    joints[1:, [18, 19], 1], joints[1:, [20, 21], 1] = 1.68, 1.95
    return joints


def lying() -> np.ndarray:
    return standing(3)[..., [0, 2, 1]]


def colour_centre(image: Image.Image, colour: tuple[int, int, int]) -> float:
    """Mean column of the pixels with the hue of `colour`."""
    pixels = np.asarray(image, float)
    pixels -= pixels.mean(-1, keepdims=True)
    hue = np.array(colour, float) - np.mean(colour)
    size = np.linalg.norm(pixels, axis=-1)
    alike = (pixels @ hue > 0.9 * size * np.linalg.norm(hue)) & (size > 40)
    assert alike.sum() > 50
    return float(np.nonzero(alike)[1].mean())


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".webm", "vp9")])
def test_film_has_every_frame(tmp_path, suffix, codec):
    path = tmp_path / f"film{suffix}"
    calls = []
    render_video(
        [Motion(standing(7))], path, size=SMALL, progress=lambda *counts: calls.append(counts)
    )
    assert calls == [(done, 7) for done in range(1, 8)]
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    frames = [np.frombuffer(frame, np.uint8).reshape(96, 128, 3) for frame in reader]
    assert meta["codec"] == codec
    assert meta["pix_fmt"].startswith("yuv420p")
    assert meta["size"] == SMALL
    assert meta["fps"] == 20
    assert len(frames) == 7
    wanted = np.asarray(render_frame(Motion(standing()), 0, size=SMALL), float)
    assert np.abs(frames[0] - wanted).mean() < 5
    assert list(tmp_path.iterdir()) == [path]


def test_mp4_starts_to_play_before_it_is_loaded(tmp_path):
    path = render_video([Motion(standing(3))], tmp_path / "film.mp4", size=SMALL)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_gif_keeps_time(tmp_path):
    path = render_video([Motion(walking()[:9], fps=30.0)], tmp_path / "film.gif", size=SMALL)
    with Image.open(path) as image:
        assert image.size == SMALL
        assert image.n_frames == 9
        assert image.info["loop"] == 0
        durations = []
        for index in range(9):
            image.seek(index)
            durations.append(image.info["duration"])
        assert sum(durations) == 300
        colour_centre(image.convert("RGB"), LEFT_COLOUR)


def test_film_of_another_frame_rate_lasts_as_long(tmp_path):
    path = render_video([Motion(walking()[:11])], tmp_path / "film.mp4", size=SMALL, fps=30)
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 16


def test_several_motions_stand_side_by_side(tmp_path):
    motions = [Motion(standing(2)), Motion(jumping()[:4], prompt="a person jumps")]
    path = render_video(motions, tmp_path / "film.mp4", size=(97, 97))
    assert next(imageio_ffmpeg.read_frames(str(path)))["size"] == (2 * 98 + 2, 98)
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 4


def test_strip_has_a_row_for_each_motion(tmp_path):
    motions = [Motion(walking()), Motion(standing())]
    bare = render_strip(motions, tmp_path / "bare.png", frames=3, size=SMALL, caption=False)
    named = render_strip(motions, tmp_path / "named.png", frames=3, size=SMALL)
    with Image.open(bare) as without, Image.open(named) as with_captions:
        assert without.size == (3 * 128 + 2 * 2, 2 * 96 + 2)
        assert with_captions.width == without.width
        assert with_captions.height > without.height


@pytest.mark.parametrize("make", [walking, circling, jumping, arms_up, lying])
@pytest.mark.parametrize("size", [(160, 120), (90, 160)])
def test_figure_stays_in_the_frame(make, size):
    joints = make()
    panel = panel_of(joints, size, "a caption")
    top = panel.lettering.line
    for frame in range(0, len(joints), 4):
        picture = np.zeros((size[1], size[0], 3), np.float32)
        solids = panel.clip.figure.solids.at(frame, np.zeros(3))
        raster.draw_solids(picture, solids, panel.camera, frame)
        drawn = picture.any(-1)
        assert drawn[top:-4, 4:-4].sum() > 50
        drawn[top:-4, 4:-4] = False
        assert not drawn.any()


def test_a_long_walk_is_as_large_at_its_end():
    panel = panel_of(walking(), SMALL)
    heights = []
    for frame in (0, 30, 59):
        pixels, _ = panel.camera.project(panel.clip.joints[frame], frame)
        heights.append(np.ptp(pixels[:, 1]))
    assert min(heights) > 0.5 * SMALL[1]
    np.testing.assert_allclose(heights, heights[0], rtol=0.02)


def test_camera_follows_a_walk_and_rests_on_a_jump():
    assert panel_of(walking(), SMALL).camera.moves
    assert not panel_of(jumping(), SMALL).camera.moves


def test_left_and_right_are_told_by_colour():
    about = Motion(turned(standing(2), np.array([0, np.pi])))
    front, back = (render_frame(about, index, size=(320, 240), caption=False) for index in (0, 1))
    for image in (front, back):  # the legend has the same colours
        image.paste("white", (0, 215, 320, 240))
    assert colour_centre(front, LEFT_COLOUR) > colour_centre(front, RIGHT_COLOUR) + 5
    assert colour_centre(back, LEFT_COLOUR) < colour_centre(back, RIGHT_COLOUR) - 5


def test_facing_at_the_start_does_not_matter():
    angle = np.array([2.0])
    first = render_frame(Motion(standing()), 0, size=SMALL)
    second = render_frame(Motion(turned(standing(), angle)), 0, size=SMALL)
    for colour in (LEFT_COLOUR, RIGHT_COLOUR):
        assert colour_centre(second, colour) == pytest.approx(colour_centre(first, colour), abs=0.5)


def depth_picture(ends: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Depth in metres of capsules, ends (P, 2, 3), seen from far away along -z."""
    camera = Camera(np.diag([1.0, 1.0, -1.0]), np.zeros((1, 3)), 40.0, (64.0, 48.0), 3000.0)
    tones = np.zeros(len(ends), int)
    out_of_sight = np.full((1, 1, 3), 50.0), 0.01 * np.eye(3)[None, None], np.zeros(1, int)
    solids = Solids(ends[None], radii, tones, *out_of_sight, 1.0, 0.0)
    canvas = raster._Canvas(solids, camera, 0, SMALL)
    (left, top), (rows, columns) = canvas.low, canvas.depth.shape
    picture = np.full((2 * SMALL[1], 2 * SMALL[0]), np.inf)
    picture[top : top + rows, left : left + columns] = canvas.depth / canvas.unit
    return picture


@pytest.mark.parametrize("seed", range(8))
def test_a_capsule_looks_like_the_balls_it_consists_of(seed):
    rng = np.random.default_rng(seed)
    ends, radii = rng.uniform(-0.2, 0.2, (1, 2, 3)), rng.uniform(0.03, 0.08, (1, 2))
    share = np.linspace(0, 1, 300)[:, None, None]
    centres = (1 - share) * ends[:, :1] + share * ends[:, 1:]
    sizes = (1 - share[..., 0]) * radii[:, :1] + share[..., 0] * radii[:, 1:]
    hull = depth_picture(ends, radii)
    balls = depth_picture(centres.repeat(2, 1), sizes.repeat(2, 1))
    seen = np.isfinite(balls)
    assert seen.sum() > 300
    assert (np.isfinite(hull) != seen).mean() < 0.02 * seen.mean()
    both = seen & np.isfinite(hull)
    assert np.quantile(np.abs(hull[both] - balls[both]), 0.98) < 0.003


def test_nearer_limbs_hide_farther_ones():
    near, far = np.array([[-0.2, 0, 0.1], [0.2, 0, 0.1]]), np.array([[0, -0.2, 0], [0, 0.2, 0]])
    radii = np.full((2, 2), 0.03)
    crossed = depth_picture(np.stack([near, far]), radii)
    swapped = depth_picture(np.stack([far, near]), radii)
    assert crossed[96, 128] == pytest.approx(-0.13, abs=2e-3)
    np.testing.assert_array_equal(crossed, swapped)


def test_frames_are_the_same_each_time(shared_data):
    joints = np.load(shared_data / "humanml3d" / "new_joints" / "012314.npy")
    first, second = (
        np.asarray(render_frame(Motion(joints), 77, size=(200, 150))) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    other = np.asarray(render_frame(Motion(joints), 78, size=(200, 150)))
    assert (first != other).any()


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path, name):
    def fail(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    path = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        render_video([Motion(standing(5))], path, size=SMALL, progress=fail)
    assert not list(tmp_path.iterdir())
    path.write_text("earlier film")
    with pytest.raises(KeyboardInterrupt):
        render_video([Motion(standing(5))], path, size=SMALL, progress=fail)
    assert path.read_text() == "earlier film"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("prompt", ["人が歩く。" * 40, "إنسان يمشي", "😀 \ud800 \0", "", "x" * 500])
def test_any_prompt_can_be_a_caption(prompt):
    style = Lettering(200)
    lines = style.wrap(prompt, 150)
    assert len(lines) <= 3
    assert all(style.caption.getlength(line) <= 150 for line in lines)
    assert render_frame(Motion(standing(), prompt=prompt), 0, size=SMALL).size == SMALL


def test_captions_break_between_words_and_end_in_an_ellipsis():
    style = Lettering(360)
    text = "a person walks forward and then turns around to the left"
    assert " ".join(style.wrap(text, 330)) == text
    short = style.wrap(text * 5, 330)
    assert len(short) == 3
    assert short[-1].endswith("…")


@pytest.mark.parametrize("joints", [np.zeros((2, 22, 3)), standing() * 1e4, standing() * 1e-4])
def test_a_broken_body_is_still_a_picture(joints):
    pixels = np.asarray(render_frame(Motion(joints), 0, size=SMALL))
    assert pixels.shape == (96, 128, 3)
    assert pixels.std() > 0


def test_radii_follow_the_body_size():
    small, tall = mannequin(standing() * 0.5), mannequin(standing())
    np.testing.assert_allclose(small.radii, 0.5 * tall.radii)
    np.testing.assert_allclose(small.axes, 0.5 * tall.axes)


@pytest.mark.parametrize(
    ("motions", "words"),
    [
        ([], "at least one"),
        ([Motion(standing()[:, :20])], r"\(1, 20, 3\)"),
        ([Motion(np.zeros((0, 22, 3)))], r"\(0, 22, 3\)"),
        ([Motion(standing()), Motion(standing() * np.nan)], "Motion 2 .* not finite in 1 of 1"),
        ([Motion(standing(), fps=0)], "fps is 0"),
    ],
)
def test_bad_motions_are_named(tmp_path, motions, words):
    for write, name in ((render_video, "film.mp4"), (render_strip, "strip.png")):
        with pytest.raises(ValueError, match=words):
            write(motions, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_bad_requests_are_named(tmp_path):
    motion = Motion(standing())
    (tmp_path / "file").touch()
    for path, words in [
        (tmp_path / "film.avi", r"\.mp4 or \.webm or \.gif"),
        (tmp_path / "missing" / "film.mp4", "cannot be written"),
        (tmp_path / "file" / "film.mp4", "cannot be written"),
    ]:
        with pytest.raises(ValueError, match=words):
            render_video([motion], path)
    with pytest.raises(ValueError, match=r"\.png"):
        render_strip([motion], tmp_path / "strip.jpg")
    with pytest.raises(ValueError, match="1 or more"):
        render_strip([motion], tmp_path / "strip.png", frames=0)
    with pytest.raises(ValueError, match="10 x 10"):
        render_frame(motion, 0, size=(10, 10))
    with pytest.raises(ValueError, match="has 1 frames"):
        render_frame(motion, 1)
    with pytest.raises(ValueError, match="1 or more"):
        render_sequence(motion, tmp_path / "sequence.png", frames=0)
    with pytest.raises(ValueError, match="'clay' is no body"):
        render_frame(motion, 0, body="clay")
    with pytest.raises(ValueError, match="'crayon' is no renderer; expected auto, moderngl"):
        render_frame(motion, 0, renderer="crayon")
    with pytest.raises(ValueError, match="moderngl draws no skeletons"):
        render_frame(motion, 0, renderer="moderngl")
    for name in ("film.mp4", "film.gif"):
        with pytest.raises(ValueError, match=r"cannot be transparent.*\.webm.*%04d\.png"):
            render_video([motion], tmp_path / name, transparent=True)
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["file"]


def test_numbered_pictures_fill_a_new_folder(tmp_path):
    path = tmp_path / "frames" / "%03d.png"
    render_video([Motion(walking()[:3])], path, size=SMALL)
    assert [tmp_path / "frames"] == list(tmp_path.iterdir())
    names = sorted(entry.name for entry in path.parent.iterdir())
    assert names == ["000.png", "001.png", "002.png"]
    wanted = render_frame(Motion(walking()[:3]), 2, size=SMALL)
    with Image.open(path.parent / "002.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(wanted))
    with pytest.raises(ValueError, match="is not empty"):
        render_video([Motion(standing())], path, size=SMALL)


def test_numbered_pictures_are_all_there_or_none(tmp_path):
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_video([Motion(standing(3))], tmp_path / "f" / "%d.png", size=SMALL, progress=fail)
    assert not list(tmp_path.iterdir())


def test_without_a_background_there_are_bodies_and_shadows_only():
    clear = render_frame(Motion(standing()), 0, size=SMALL, caption=False, transparent=True)
    solid = render_frame(Motion(standing()), 0, size=SMALL, caption=False)
    assert clear.mode == "RGBA"
    alpha = np.asarray(clear)[..., 3]
    assert not alpha[0].any() and not alpha[:, 0].any()
    body = alpha == 255
    assert body.sum() > 200
    np.testing.assert_allclose(
        np.asarray(clear)[body][:, :3].astype(int), np.asarray(solid)[body], atol=1
    )
    assert ((alpha > 20) & (alpha < 120)).sum() > 50
    # Laid over the empty scene it is the picture with a floor, but for the floor's colour.
    paper = Image.new("RGBA", SMALL, (247, 246, 243, 255))
    together = np.asarray(Image.alpha_composite(paper, clear).convert("RGB"), float)
    difference = np.abs(together - np.asarray(solid))
    assert difference.max() < 40


def test_webm_can_be_transparent(tmp_path):
    path = tmp_path / "film.webm"
    render_video([Motion(standing(3))], path, size=SMALL, caption=False, transparent=True)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-c:v", "libvpx-vp9", "-i", path]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgba", "-"], capture_output=True, check=True
    ).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, SMALL[1], SMALL[0], 4)
    wanted = render_frame(Motion(standing()), 0, size=SMALL, caption=False, transparent=True)
    assert len(frames) == 3
    assert np.abs(frames[1, ..., 3].astype(float) - np.asarray(wanted)[..., 3]).mean() < 4


def test_a_trail_darkens_the_way_behind():
    panel = panel_of(walking(), (320, 240))
    trail = panel._path.until(59)
    before, after = np.full((2, 240, 320, 3), 200, np.float32)
    raster.draw_trail(after, trail, panel.camera, 59)
    dark = np.argwhere((before - after)[..., 0] > 5)
    assert len(dark) > 40
    pixels, _ = panel.camera.project(panel.clip.joints[:60, 0] * (1, 0, 1), 59)
    distance = np.abs(dark[:, None, ::-1] + 0.5 - pixels).max(-1).min(1)
    assert np.quantile(distance, 0.95) < 12
    corners, strengths = trail.triangles()
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    assert len(corners) == len(strengths)
    polygons = np.roll(trail.polygons, -1, 1)
    shoelace = trail.polygons[..., 0] * polygons[..., 2] - trail.polygons[..., 2] * polygons[..., 0]
    assert areas.sum() == pytest.approx(np.abs(shoelace.sum(1)).sum(), rel=1e-6)


def columns_of(image: Image.Image) -> np.ndarray:
    """Columns in which something bright in colour stands."""
    pixels = np.asarray(image, float)
    return np.flatnonzero((np.ptp(pixels, axis=-1) > 25).any(0))


@pytest.mark.parametrize("make", [walking, jumping])
def test_a_sequence_shows_bodies_one_beside_the_other(tmp_path, make):
    motion = Motion(make())
    path = render_sequence(motion, tmp_path / "sequence.png", frames=4, size=(480, 160))
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as image:
        assert image.size == (480, 160)
        columns = columns_of(image)
        assert columns.min() > 3 and columns.max() < 476
        groups = np.split(columns, np.flatnonzero(np.diff(columns) > 3) + 1)
        assert len([group for group in groups if len(group) > 4]) >= 4
        # Time goes on from left to right, and from pale to full colour.
        pixels = np.asarray(image, float)
        strongest = np.ptp(pixels, axis=-1).max(0)
        assert strongest[columns[:20]].max() < 0.7 * strongest[columns[-20:]].max()


def test_a_sequence_of_one_frame(tmp_path):
    path = render_sequence(Motion(standing(), prompt="hello"), tmp_path / "a.png", caption=True)
    with Image.open(path) as image:
        assert image.width == 1600 and image.height > 560


def test_films_need_ffmpeg(tmp_path, monkeypatch):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(ValueError, match=r"ffmpeg.*pip install imageio-ffmpeg.*\.gif"):
        render_video([Motion(standing())], tmp_path / "film.mp4", size=SMALL)
    assert not list(tmp_path.iterdir())
    render_video([Motion(standing())], tmp_path / "film.gif", size=SMALL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    for write, name in (
        (render_video, "film.mp4"),
        (render_video, "frames/%d.png"),
        (render_strip, "strip.png"),
    ):
        with pytest.raises(ValueError, match="cannot be written"):
            write([Motion(standing())], tmp_path / name)
