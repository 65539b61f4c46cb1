"""The page in a browser, as a visitor has it."""

import io
import json
import os
import subprocess
import time
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlparse

import browser
import numpy as np
import psutil
import pytest

from motionmamba.motion.motion import Motion

TOOLS = Path(__file__).parents[1] / "tools"
QUICK = {"prompt": "a person walks forward", "seconds": 1, "steps": 2, "seed": 3}
_MOVING = "return document.getAnimations().some((each) => each.playState === 'running')"
PATIENCE = 120  # seconds, where other work may take the processor


class Page:
    """The page in the browser, and what a visitor does on it."""

    def __init__(self, driver, address: str, downloads: Path):
        self.driver, self.address, self.downloads = driver, address, downloads
        allow = {"behavior": "allow", "downloadPath": str(downloads)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", allow)

    def open(self, width: int = 1280, scheme: str = "light", **settings):
        browser.resize(self.driver, width, 900)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(f"{self.address}?{urlencode(settings)}")
        wanted = settings.get("prompt", "")
        self.wait(
            lambda: self.run("return document.querySelector('#prompt textarea')?.value") == wanted
        )

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def wait(self, condition, seconds: float = PATIENCE):
        until = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < until, f"the page did not get there, it says: {self.status}"
            time.sleep(0.05)
        return found

    def press(self, selector: str):
        self.run(
            "arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()",
            self.find(selector),
        )

    def unfold(self, selector: str):
        """Opens an accordion; what it holds forgets clicks while that goes on."""
        self.press(f"{selector} button")
        time.sleep(2)

    def generate(self, button: str = "#generate"):
        self.press(button)
        self.wait(lambda: not self.status.startswith("Done"))
        self.wait(lambda: self.status.startswith("Done"))

    def player(self, expression: str):
        frame = "document.querySelector('#player iframe')?.contentWindow?.viewer"
        return self.run(f"return {frame}?.{expression}")

    def labels(self) -> list[str]:
        """Titles of the motions in the player."""
        return self.run(
            "return [...document.querySelector('#player iframe').contentDocument"
            ".querySelectorAll('.label')].map((each) => each.textContent)"
        )

    def download(self, suffix: str) -> Path:
        for path in self.downloads.iterdir():
            path.unlink()
        self.wait(lambda: self.find(f"#download-{suffix}").is_enabled())
        self.press(f"#download-{suffix}")
        kinds = (f".{suffix}", ".zip")
        path = self.wait(lambda: [p for p in self.downloads.iterdir() if p.suffix in kinds])[0]
        self.wait(lambda: path.stat().st_size > 0)
        return path

    @property
    def status(self) -> str:
        return self.run("return document.querySelector('#status span')?.innerText ?? ''")

    @property
    def problem(self) -> str:
        return self.run("return document.querySelector('#status [role=alert]')?.innerText ?? ''")

    @property
    def settings(self) -> dict[str, str]:
        """Those in the address."""
        asked = parse_qs(urlparse(self.driver.current_url).query)
        return {name: values[0] for name, values in asked.items()}

    def keep(self, name: str):
        """A picture for those who look, where MOTIONMAMBA_SCREENSHOTS says."""
        if folder := os.environ.get("MOTIONMAMBA_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(folder) / f"app-{name}.png"))


@pytest.fixture
def page(driver, address, tmp_path) -> Page:
    return Page(driver, address, tmp_path)


def test_a_sentence_becomes_a_motion_and_files(page):
    page.driver.get_log("browser"), page.driver.get_log("performance")
    page.open(**QUICK)
    page.keep("empty")
    page.generate()
    assert page.player("duration") == pytest.approx(0.95, abs=0.06)
    page.wait(lambda: page.player("playing"))
    page.wait(lambda: page.run("return document.querySelector('#video video')?.videoWidth"))
    page.keep("done")
    page.wait(lambda: {n: page.settings.get(n) for n in QUICK} == {n: f"{QUICK[n]}" for n in QUICK})

    joints = Motion.load(page.download("glb")).joints
    assert joints.shape == (20, 22, 3) and np.isfinite(joints).all()
    assert len(Motion.load(page.download("bvh"))) == len(Motion.load(page.download("npz"))) == 20
    assert page.download("mp4").read_bytes()[4:8] == b"ftyp"
    assert all(url.startswith(page.address) for url in browser.requests(page.driver))
    loud = [e["message"] for e in page.driver.get_log("browser") if e["level"] == "SEVERE"]
    assert not loud


def test_the_motion_is_scrubbed(page):
    page.open(**QUICK)
    page.generate()
    page.wait(lambda: page.player("playing"))
    frame = page.find("#player iframe")
    page.driver.switch_to.frame(frame)
    page.run("scrub.value = 0.5; scrub.dispatchEvent(new Event('input')); viewer.pause()")
    page.driver.switch_to.default_content()
    assert page.player("time") == pytest.approx(0.5, abs=0.06)


def test_a_motion_takes_as_long_as_its_sentence_says(page):
    slider = "return parseFloat(document.querySelector('#seconds input').value)"
    chosen = "return document.querySelector('#predicted input').checked"
    page.open(prompt="a person runs", seconds=2)
    page.wait(lambda: not page.run(chosen))
    page.open(prompt="a man kicks with the right foot", seconds="soon", steps=2, seed=3)
    page.wait(lambda: page.run(chosen))
    page.generate()
    length = page.player("duration")
    assert length < 5 and page.run(slider) == pytest.approx(length, abs=0.11)
    page.wait(lambda: page.settings.get("seconds") == f"{page.run(slider):g}")
    page.keep("length")
    page.run(
        "const slider = document.querySelector('#seconds input[type=range]'); slider.value = 2;"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    page.wait(lambda: not page.run(chosen))
    page.generate()
    assert page.player("duration") == pytest.approx(2, abs=0.06)


def test_the_same_address_gives_the_same_motion(page):
    files = []
    for _ in range(2):
        page.open(**QUICK)
        page.generate()
        files.append(Motion.load(page.download("npz")).joints)
    assert np.array_equal(*files)


def test_another_body_and_colour(page):
    page.open(**QUICK)
    page.generate()
    before = page.download("glb").read_bytes()
    page.unfold("#body")
    page.run("document.querySelector('#player iframe').dataset.before = ''")
    page.press("#colour input[value=Green]")
    page.wait(lambda: page.run("return !document.querySelector('#player iframe[data-before]')"))
    page.wait(lambda: page.status.startswith("Done"))
    page.keep("body")
    after = page.download("glb").read_bytes()
    assert after != before
    page.press("#figure input[value=Skeleton]")
    page.wait(lambda: page.player("mode") == "skeleton")


def test_variations_in_one_player_and_archives(page):
    page.open(**QUICK, variations=2)
    page.generate()
    assert page.labels() == ["seed 3", "seed 4"]
    page.keep("variations")
    with zipfile.ZipFile(io.BytesIO(page.download("bvh").read_bytes())) as archive:
        assert archive.namelist() == ["motion-seed-3.bvh", "motion-seed-4.bvh"]


def test_scenes_of_a_timeline_become_one_motion_and_an_address(page):
    asked = {"scene1": "a person walks", "seconds1": 2, "scene2": "a person bows", "seconds2": 2}
    page.open(**asked, steps=2, seed=3)
    scenes = "return [...document.querySelectorAll('.scene textarea')].map((e) => e.value)"
    page.wait(lambda: page.run(scenes) == ["a person walks", "a person bows", "", ""])
    assert page.find("#generate-timeline").is_displayed()
    page.generate("#generate-timeline")
    assert 2 < page.player("duration") < 4.5
    page.keep("timeline")
    page.wait(lambda: page.settings.items() >= {n: str(v) for n, v in asked.items()}.items())


def test_motions_are_kept_and_compared(page):
    page.open(**QUICK)
    page.run("localStorage.clear()")
    for seed in (5, 6):
        page.open(**QUICK | {"seed": seed})
        page.generate()
    page.unfold("#history")
    kept = "return document.querySelectorAll('#kept input{}').length"
    page.wait(lambda: page.run(kept.format("")) == 2)
    for number in range(2):
        page.run(f"document.querySelectorAll('#kept input')[{number}].click()")
        page.wait(lambda number=number: page.run(kept.format(":checked")) == number + 1)
    page.press("#compare")
    page.wait(lambda: len(page.labels()) == 2)
    assert [label[-6:] for label in page.labels()] == ["seed 5", "seed 6"]
    page.keep("compared")


def test_cancel_frees_the_worker(page):
    page.open(prompt="a person runs", seconds=6, steps=100)
    page.press("#generate")
    page.wait(lambda: "step" in page.status)
    page.wait(lambda: page.find("#cancel").is_enabled())
    page.press("#cancel")
    page.wait(lambda: page.status == "Cancelled.")
    page.wait(lambda: page.find("#generate").is_enabled(), 5)
    began = time.monotonic()
    page.open(**QUICK)
    page.generate()
    assert time.monotonic() - began < PATIENCE / 2


def test_bad_input_is_a_sentence(page):
    page.open(prompt="...")
    page.press("#generate")
    page.wait(lambda: "The prompt is empty" in page.problem)
    page.open(prompt="<img src=x onerror='window.hacked = 1'>", seconds=1, steps=1)
    page.generate()
    assert page.run("return window.hacked") is None


def test_a_killed_worker_is_told_and_comes_again(page, served):
    page.open(prompt="a person runs", seconds=6, steps=100)
    page.press("#generate")
    page.wait(lambda: "step" in page.status)
    os.kill(served.worker.pid, 9)
    page.wait(lambda: "try again" in page.problem)
    page.open(**QUICK)
    page.press("#generate")
    page.wait(lambda: "being loaded" in page.status)
    page.wait(lambda: page.status.startswith("Done"))


def test_a_failed_video_leaves_the_motion(page, served):
    page.open(**QUICK | {"seconds": 4})
    page.press("#generate")
    page.wait(lambda: "Rendering" in page.status)
    for child in psutil.Process(served.worker.pid).children(recursive=True):
        if "ffmpeg" in child.name():
            child.kill()
    page.wait(lambda: "went wrong" in page.problem)
    assert page.player("duration") > 3 and page.download("glb").stat().st_size > 100_000
    page.open(**QUICK)
    page.generate()


def test_a_visitor_who_leaves_frees_the_worker(page, served):
    page.open(prompt="a person runs", seconds=6, steps=100)
    page.press("#generate")
    page.wait(lambda: "step" in page.status)
    assert len(served.worker.line) == 1
    page.driver.get("about:blank")
    until = time.monotonic() + 10
    while len(served.worker.line) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(served.worker.line) == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_everybody_can_use_it(page, width, scheme):
    """axe finds nothing against WCAG 2.2 A and AA: names, roles, focus, contrast."""
    axe = TOOLS / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("no axe-core: install node and run `npm ci` in tests/tools")
    page.open(width, scheme, **QUICK)
    page.generate()
    page.wait(lambda: page.find("#generate").is_enabled())
    page.wait(lambda: page.find("#download-mp4").is_enabled())
    page.wait(lambda: not page.run(_MOVING))
    page.keep(f"{scheme}-{width}")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.run(axe.read_text(encoding="utf-8"))
    found = page.driver.execute_async_script(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'], iframes: false})"
        ".then(arguments[0])"
    )
    told = [
        f"{each['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
    assert not told, "\n".join(told)


def test_keys_lead_from_the_prompt_to_the_motion(page):
    from selenium.webdriver import ActionChains, Keys

    page.open(**QUICK)
    page.find("#prompt textarea").send_keys(Keys.END)
    focus = []
    for _ in range(5):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        focus.append(page.run("return document.activeElement.closest('[id]').id"))
    assert (
        focus[-1] == "generate"
        and page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    )
    ActionChains(page.driver).send_keys(Keys.ENTER).perform()
    page.wait(lambda: page.status.startswith("Done"))


def test_files_open_in_another_program(page):
    """The video is read by ffmpeg, the GLB by the Khronos validator."""
    import imageio_ffmpeg

    validator = TOOLS / "validate_gltf.js"
    if not (TOOLS / "node_modules").is_dir():
        pytest.skip("no glTF validator: install node and run `npm ci` in tests/tools")
    page.open(**QUICK)
    page.generate()
    video = page.download("mp4")
    frames = imageio_ffmpeg.count_frames_and_secs(str(video))[0]
    assert frames == 20
    report = subprocess.run(
        ["node", validator, page.download("glb")], capture_output=True, text=True, check=True
    )
    assert json.loads(report.stdout)["issues"]["numErrors"] == 0
