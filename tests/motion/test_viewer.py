"""The page that plays motions, in a browser, and the Python around it."""

import base64
import gzip
import hashlib
import html
import io
import json
import os
import re
import time
from pathlib import Path

import browser
import numpy as np
import pytest
from PIL import Image

from motionmamba import cli
from motionmamba.motion.export import html as page_module
from motionmamba.motion.export.html import check_glb, load_glb, viewer_html, write_html

REPOSITORY = Path(__file__).resolve().parents[2]
VIEWER = REPOSITORY / "app" / "viewer"
ASSETS = REPOSITORY / "motionmamba" / "assets" / "viewer"
INJECTION = '</script><img src=x onerror="window.hacked = 1"> {{script}} \'\ud83d <!--<script>'
FPS, FRAMES = 20, 41  # of the test's motion: two seconds


def red_column(frames: int = FRAMES) -> bytes:
    """A .glb of a red column 1.7 m high that bows and walks a metre to its left."""
    corners = np.array([[x, y, z] for y in (0, 0.85, 1.7) for x in (-1, 1) for z in (-1, 1)], "f4")
    corners[:, [0, 2]] *= 0.15
    walls = [(0, 1, 3), (0, 3, 2), (4, 5, 7), (4, 7, 6), (8, 9, 11), (8, 11, 10)]
    for low in (0, 4):
        for a, b in ((0, 1), (1, 3), (3, 2), (2, 0)):
            a, b = low + a, low + b
            walls += [(a, b, b + 4), (a, b + 4, a + 4)]
    joints = np.zeros((12, 4), "u1")
    joints[8:, 0] = 1
    weights = np.eye(4, dtype="f4")[np.zeros(12, int)]
    inverse_bind = np.tile(np.eye(4, dtype="f4"), (2, 1, 1))
    inverse_bind[1, 3, 1] = -0.85
    times = np.arange(frames, dtype="f4") / FPS
    progress = np.linspace(0, 1, frames, dtype="f4")
    walk = progress[:, None] * np.array([1, 0, 0], "f4")
    bow = np.zeros((frames, 4), "f4")
    bow[:, 0], bow[:, 3] = np.sin(progress / 2), np.cos(progress / 2)
    arrays = [
        (corners, 5126, "VEC3"),
        (np.array(walls, "u2").ravel(), 5123, "SCALAR"),
        (joints, 5121, "VEC4"),
        (weights, 5126, "VEC4"),
        (inverse_bind.reshape(2, 16), 5126, "MAT4"),
        (times, 5126, "SCALAR"),
        (walk, 5126, "VEC3"),
        (bow, 5126, "VEC4"),
    ]
    blob, views, accessors = b"", [], []
    for array, component, kind in arrays:
        data = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(data)})
        blob += data + b"\0" * (-len(data) % 4)
        rows = array.reshape(len(array), -1)
        limits = {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        accessor = {"bufferView": len(views) - 1, "count": len(array), **limits}
        accessors.append({**accessor, "componentType": component, "type": kind})
    attributes = {"POSITION": 0, "JOINTS_0": 2, "WEIGHTS_0": 3}
    channels = [
        {"sampler": 0, "target": {"node": 0, "path": "translation"}},
        {"sampler": 1, "target": {"node": 1, "path": "rotation"}},
    ]
    colour = {"baseColorFactor": [0.8, 0.02, 0.02, 1], "metallicFactor": 0}
    content = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0, 2]}],
        "nodes": [
            {"name": "left_hip", "children": [1]},
            {"name": "left_knee", "translation": [0, 0.85, 0]},
            {"mesh": 0, "skin": 0},
        ],
        "skins": [{"joints": [0, 1], "inverseBindMatrices": 4}],
        "materials": [{"pbrMetallicRoughness": colour, "doubleSided": True}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 1, "material": 0}]}],
        "animations": [
            {"samplers": [{"input": 5, "output": o} for o in (6, 7)], "channels": channels}
        ],
        "buffers": [{"byteLength": len(blob)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    return glb(json.dumps(content).encode(), blob)


def glb(content: bytes, blob: bytes = b"") -> bytes:
    content += b" " * (-len(content) % 4)
    chunks = len(content).to_bytes(4, "little") + b"JSON" + content
    if blob:
        chunks += len(blob).to_bytes(4, "little") + b"BIN\0" + blob
    return b"glTF" + (2).to_bytes(4, "little") + (len(chunks) + 12).to_bytes(4, "little") + chunks


class Page:
    """One browser for all tests; each opens its own page in it."""

    def __init__(self, driver, folder: Path):
        self.driver = driver
        self.folder = folder

    def open(self, titles=("a person walks",), glbs=None, text=None, size=(480, 400), still=True):
        self.prefer(still)
        self.logs("browser"), self.logs("performance")
        browser.resize(self.driver, *size)
        path = self.folder / "page.html"
        path.write_text(text or viewer_html(glbs or [red_column()] * len(titles), titles))
        self.driver.get(path.as_uri())
        self.wait(lambda: self.run("return document.body.dataset.state !== 'loading'"))

    def prefer(self, still: bool = True, scheme: str = "light"):
        # A page that finds that its reader wants little motion does not begin to play.
        wishes = {"reduced-motion": "reduce" if still else "", "color-scheme": scheme}
        features = [{"name": f"prefers-{name}", "value": wish} for name, wish in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, seconds: float = 10):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "the page did not get there in time"
            time.sleep(0.02)

    def pause(self, at: float, mode: str = "mesh"):
        self.run(
            "viewer.pause(); viewer.setMode(arguments[1]); viewer.seek(arguments[0])", at, mode
        )

    def picture(self) -> np.ndarray:
        """What is seen over the bar (H, W, 3), from where the page first looked."""
        self.driver.execute_async_script(
            "viewer.resetView();requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        )
        return self.screenshot()[: self.run("return controls.offsetTop")]

    def screenshot(self) -> np.ndarray:
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        return np.asarray(picture).astype(int)

    def press(self, *keys: str):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, element: str, right: float = 0):
        """Clicks an element, `right` of its middle as a part of its width."""
        from selenium.webdriver import ActionChains

        found = self.driver.find_element("css selector", element)
        offset = round(right * found.size["width"])
        ActionChains(self.driver).move_to_element_with_offset(found, offset, 0).click().perform()

    def logs(self, kind: str) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log(kind)]

    def complaints(self) -> list[str]:
        return self.logs("browser")


@pytest.fixture
def page(driver, tmp_path) -> Page:
    return Page(driver, tmp_path)


def red(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] > 90) & (picture[..., 0] > 2 * picture[..., 1])


def blue(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 2] > 90) & (picture[..., 2] > 1.7 * picture[..., 0])


def corner(picture: np.ndarray) -> np.ndarray:
    return picture[:12, -12:]


def floor(picture: np.ndarray) -> np.ndarray:
    """The part of the floor that is nearest, in front of the body."""
    return picture[-12:-2]


def test_shows_the_body_and_asks_nobody_for_anything(page):
    page.open(still=False)
    page.wait(lambda: page.run("return viewer.playing && viewer.time > 0.2"))
    page.wait(lambda: page.run("return getComputedStyle(view).opacity === '1'"))
    page.pause(0)
    shown = red(page.picture())
    assert 0.01 < shown.mean() < 0.3
    rows, columns = np.nonzero(shown)
    assert np.ptp(rows) > 2 * np.ptp(columns), "a column stands"
    assert page.complaints() == []
    assert [url.rsplit("/", 1)[1] for url in browser.requests(page.driver)] == ["page.html"]


def test_the_page_could_not_ask_if_it_tried(page):
    page.open()
    violated = page.driver.execute_async_script(
        "const done = arguments[0];"
        "addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));"
        "fetch('https://example.com/').then(() => done('fetched'), () => setTimeout(done, 1000))"
    )
    assert violated == "connect-src"


def test_seek_changes_the_picture_and_stays_within_the_motion(page):
    page.open()
    page.pause(0)
    upright = red(page.picture())
    page.pause(1.5)
    assert (upright != red(page.picture())).mean() > 0.005
    for asked, got in ((-1, 0), (99, (FRAMES - 1) / FPS), (0.7, 0.7)):
        page.run("viewer.seek(arguments[0])", asked)
        assert page.run("return viewer.time") == pytest.approx(got)


def test_skeleton_and_both_show_other_pictures(page):
    page.open()
    page.pause(0.5, "mesh")
    mesh = page.picture()
    page.pause(0.5, "skeleton")
    skeleton = page.picture()
    assert not red(skeleton).any() and blue(skeleton).mean() > 5e-4
    page.pause(0.5, "both")
    both = page.picture()
    assert (np.abs(both - mesh).sum(-1) > 30).mean() > 0.01
    assert (np.abs(both - skeleton).sum(-1) > 30).mean() > 0.01
    page.click("#mode-mesh + span")
    assert page.run("return viewer.mode") == "mesh"
    assert np.array_equal(red(page.picture()), red(mesh))


def test_scrub_bar_buttons_and_keys(page):
    page.open()
    duration = page.run("return viewer.duration")
    for playing in (True, False):
        page.click("#play")
        assert page.run("return viewer.playing") == playing
    page.click("#scrub", right=0.25)
    assert page.run("return viewer.time") == pytest.approx(0.75 * duration, abs=0.03 * duration)
    page.press("\ue012")  # left
    frame = page.run("return viewer.time") * FPS
    assert frame == pytest.approx(round(frame), abs=1e-3)
    page.press("\ue014", "\ue014")  # right
    assert page.run("return viewer.time") * FPS == pytest.approx(frame + 2, abs=1e-3)
    page.press("\ue011")  # home
    assert page.run("return viewer.time") == 0
    page.click("#loop")
    page.press(" ")
    assert page.run("return [viewer.playing, viewer.loop]") == [True, False]
    assert page.driver.find_element("id", "loop").get_attribute("aria-pressed") == "false"
    page.press(" ", "m", "c", ">")
    state = page.run("return [viewer.playing, viewer.mode, viewer.follow, viewer.speed]")
    assert state == [False, "skeleton", False, 1.5]


def test_speed_and_loop(page):
    page.open(glbs=[red_column(FPS * 8 + 1)], size=(320, 240))
    rates = [
        page.driver.execute_async_script(
            "const [speed, done] = arguments; viewer.seek(0); viewer.speed = speed; viewer.play();"
            "requestAnimationFrame((began) => { const from = viewer.time;"
            "setTimeout(() => requestAnimationFrame("
            "(now) => done((viewer.time - from) / (now - began) * 1000)), 500) })",
            speed,
        )
        for speed in (0.5, 2)
    ]
    assert rates == pytest.approx([0.5, 2], rel=0.25)
    page.run("viewer.seek(viewer.duration - 0.1)")
    page.wait(lambda: page.run("return viewer.playing && viewer.time < 4"))
    page.run("viewer.loop = false; viewer.seek(viewer.duration - 0.1)")
    page.wait(lambda: not page.run("return viewer.playing"))
    assert page.run("return viewer.time === viewer.duration")


def test_several_motions_stand_side_by_side_with_their_prompts(page):
    titles = ["one", "two", "three"]
    page.open(titles)
    page.pause(0)
    columns = red(page.picture()).any(axis=0)
    assert np.count_nonzero(np.diff(columns.astype(int)) == 1) == 3
    labels = page.driver.find_elements("css selector", ".label")
    assert [label.text for label in labels] == titles
    assert sorted(labels, key=lambda label: label.location["x"]) == labels


def test_a_prompt_is_text_whatever_it_says(page):
    page.open([INJECTION])
    shown = page.driver.find_element("css selector", "h1").text
    assert shown == INJECTION.replace("\ud83d", "\ufffd")
    assert page.run("return [document.images.length, window.hacked]") == [0, None]
    page.open([INJECTION, "b"])
    assert page.driver.find_element("css selector", ".label").text.startswith("</script><img")
    assert page.complaints() == []


def test_fits_a_phone_and_a_frame_of_another_page(page):
    inner = viewer_html([red_column()], ["a person walks"])
    frame = f"<body><iframe srcdoc='{html.escape(inner)}' style='width:100%;height:90%'></iframe>"
    page.open(
        text=f"<!doctype html><style>html,body{{height:100%}}</style>{frame}", size=(390, 780)
    )
    page.driver.switch_to.frame(0)
    page.wait(lambda: page.run("return Boolean(window.viewer)"))
    page.pause(0)
    for width in (390, 600):
        page.driver.switch_to.default_content()
        browser.resize(page.driver, width, 780)
        page.driver.switch_to.frame(0)
        page.wait(
            lambda: page.run("return view.width === innerWidth && view.height === innerHeight")
        )
        for name in ("play", "scrub", "time", "speed", "loop", "full"):
            box = page.driver.find_element("id", name).rect
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, name
    page.driver.switch_to.default_content()
    assert red(page.screenshot()).mean() > 0.005
    assert page.complaints() == []


def test_is_dark_for_who_prefers_that_and_where_it_is_told(page):
    page.open()
    page.pause(0.5)
    light = page.picture()
    assert corner(light).min() > 200 and floor(light).min() > 180
    page.prefer(scheme="dark")
    dark = page.picture()
    assert page.run("return viewer.theme") == "auto"
    assert corner(dark).max() < 50 and floor(dark).max() < 110
    assert red(dark).mean() == pytest.approx(red(light).mean(), rel=0.1), "the body stays lit"
    assert np.ptp(floor(dark).mean(-1)) > 10, "the checkers can be told apart"
    for theme, picture in (("light", light), ("auto", dark), ("dark", dark)):
        page.run("viewer.theme = arguments[0]", theme)
        assert np.array_equal(page.picture(), picture), theme
    page.prefer(scheme="light")
    assert np.array_equal(page.picture(), dark)
    page.run("document.documentElement.dataset.theme = 'light'")
    assert page.run("return viewer.theme") == "light"
    assert np.array_equal(page.picture(), light)
    assert page.complaints() == []


def test_every_control_has_a_name(page):
    page.open(size=(900, 400))
    controls = page.driver.find_elements("css selector", "button, input, select, canvas")
    assert len(controls) == 11
    assert all(control.accessible_name for control in controls)


def test_without_webgl_the_page_says_so(page):
    added = page.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": "HTMLCanvasElement.prototype.getContext = () => null"},
    )
    try:
        page.open()
        assert "WebGL" in page.driver.find_element("id", "message").text
        assert not page.driver.find_element("id", "play").is_displayed()
        assert page.complaints() == []
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_a_damaged_motion_is_one_sentence_on_the_page(page):
    page.open(glbs=[glb(b'{"asset": ')])
    assert "cannot be shown" in page.driver.find_element("id", "message").text
    assert page.complaints() == []


def test_a_real_body_makes_a_small_page(page, shared_data):
    pytest.importorskip("motionmamba.motion.export.gltf")
    joints = np.load(sorted((shared_data / "humanml3d" / "new_joints").glob("*.npy"))[0])
    np.save(page.folder / "motion.npy", joints)
    data, title = load_glb(page.folder / "motion.npy", prompt="a person moves")
    text = viewer_html([data], [title])
    assert len(text) < 2.5e6
    page.open(text=text)
    page.pause(1)
    picture = page.picture()
    page.pause(1, "skeleton")
    assert 0.01 < (np.abs(page.picture() - picture).sum(-1) > 60).mean() < 0.3
    assert page.complaints() == []


def test_the_page_carries_the_files_as_they_were():
    data = red_column()
    page = viewer_html([data, data], ["a", "<b>"])
    carried = json.loads(re.search(r'id="motions"[^>]*>(.*?)</script>', page)[1])
    assert [gzip.decompress(base64.b64decode(motion["glb"])) for motion in carried] == [data, data]
    assert [motion["title"] for motion in carried] == ["a", "<b>"]
    assert page.count("<script") == page.count("</script>") == 2
    assert "unsafe" not in re.search(r'Policy" content="(.*?)"', page)[1]


def test_bundle_is_of_these_sources():
    digest = hashlib.sha256()
    names = [f"src/{path.name}" for path in (VIEWER / "src").iterdir()]
    for name in sorted([*names, "build.js", "package-lock.json", "package.json"]):
        digest.update(f"{name}\n".encode() + (VIEWER / name).read_bytes())
    bundle = (ASSETS / "viewer.js").read_text()
    assert digest.hexdigest() in bundle.split("\n", 1)[0], "npm run build in app/viewer"
    assert len(bundle) < 800_000
    assert "SPDX-License-Identifier: MIT" in bundle
    assert "Permission is hereby granted" in (ASSETS / "LICENSE").read_text()
    assert "http" not in (VIEWER / "package-lock.json").read_text()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not binary glTF"),
        (b"not a model at all", "not binary glTF"),
        (red_column()[:-4], "header says"),
        (b"glTF\1\0\0\0" + red_column()[8:], "not binary glTF"),
    ],
)
def test_what_is_no_glb_is_refused(tmp_path, data, complaint):
    path = tmp_path / "motion.glb"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=complaint):
        load_glb(path)
    with pytest.raises(ValueError, match=complaint):
        write_html(tmp_path / "page.html", [data], ["a"])
    assert os.listdir(tmp_path) == ["motion.glb"]


def test_a_huge_glb_is_refused(monkeypatch):
    monkeypatch.setattr(page_module, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most"):
        check_glb(red_column())


def test_a_glb_is_taken_as_it_is(tmp_path):
    path = tmp_path / "walk.glb"
    path.write_bytes(red_column())
    assert load_glb(path) == (red_column(), "walk")
    assert load_glb(path, prompt="a person walks")[1] == "a person walks"
    with pytest.raises(FileNotFoundError):
        load_glb(tmp_path / "none.glb")


@pytest.mark.parametrize(("count", "titles"), [(0, 0), (1, 2), (10, 10)])
def test_wrong_counts_are_refused(count, titles):
    with pytest.raises(ValueError, match="1 to 9 motions"):
        viewer_html([red_column()] * count, ["a"] * titles)


def test_view_writes_a_page_and_opens_it(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    monkeypatch.chdir(tmp_path)
    for name in ("walk.glb", "wave.glb"):
        Path(name).write_bytes(red_column())

    def view(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.run(cli.app, ["view", *arguments])
        return exit_.value.code or 0

    assert view("walk.glb", "wave.glb") == 0
    assert opened == [(tmp_path / "walk.html").as_uri()]
    carried = Path("walk.html").read_text()
    assert '"title": "walk"' in carried and '"title": "wave"' in carried
    assert view("walk.glb", "--no-open", "--out", "page.html") == 0 and len(opened) == 1
    Path("wave.glb").write_bytes(b"glTF")
    assert view("wave.glb", "--out", "none.html") == 2
    assert "wave.glb is not binary glTF" in capsys.readouterr().err
    assert not Path("none.html").exists()


def test_no_part_of_a_page_is_left(tmp_path, monkeypatch):
    for name in ("page.txt", "no/page.html"):
        with pytest.raises(ValueError):
            write_html(tmp_path / name, [red_column()], ["a"])

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError):
        write_html(tmp_path / "page.html", [red_column()], ["a"])
    assert os.listdir(tmp_path) == []
