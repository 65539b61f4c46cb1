import time

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from motionmamba.data.packed import (
    Caption,
    Prepared,
    Sample,
    Source,
    merge_datasets,
    write_dataset,
)
from motionmamba.data.report import escape, way_of, write_report
from motionmamba.data.sources.humanml3d import MIRRORED
from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion.skeleton import KIT

DROPPED = {
    "a_b.bvh": "a_b.bvh turns by -104 to 88 degrees",
    "c.bvh": "turns by 3 to 4 degrees",
    "d/1.bvh": "under 40 frames",
    "d/2.bvh": "under 40 frames",
    "<i>|x.bvh": "# no | motion\nhere",
}
NASTY = (
    "1. one",
    "# title",
    "a *b* _c_ `d` [e](f) ![g](h)",
    "<b>bold</b> &amp; | cell | $x$ ~~y~~",
    "- item",
    "back\\slash",
)


def _sample(name, joints, split="train", **options):
    captions = [Caption(f"a man does {name}", f"a/DET man/NOUN do/VERB {name}/NOUN")]
    return Sample(name, options.pop("take", name), split, captions, joints, **options)


@pytest.fixture(scope="module")
def joints():
    rng = np.random.default_rng(0)
    return [make_motion(rng)[0] for _ in range(4)]


@pytest.fixture
def prepared(joints):
    made = (
        "joined of one 0:9, two 3:40",
        "one at 1.30 times the pace",
        "arms of one 0:40 on two 1:20",
        "something new",
    )
    mirrored = [Caption("mirror image", "mirror/NOUN image/NOUN")]
    samples = [
        _sample("one", joints[0], mirrored_captions=mirrored),
        _sample("two", joints[1], parts=[("he waves", 0.5, 1.0)]),
        *(_sample(f"m{i}", joints[3], made=text) for i, text in enumerate(made)),
        _sample("three", joints[2], "test"),
        _sample("four", joints[2], "held_out", take="three", made=made[2]),
    ]
    source = Source("Toys & <more>", "CC0", "made | up")
    settings = {"seed": 3, "account": {"A": {"found": 3}, "B": {"found": 4, "lost": 1}}}
    return Prepared(samples, {"toys": source}, DROPPED, {"in.bvh": "ab"}, settings)


def _rendered(text):
    return MarkdownIt().enable(["table", "strikethrough"]).render(text)


def _row(text, start):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_all_is_told(prepared, tmp_path):
    dataset = write_dataset(tmp_path / "toy", prepared, "toy_set")
    start = time.perf_counter()
    path = write_report(dataset)
    assert time.perf_counter() - start < 10
    text = path.read_text()
    assert path == tmp_path / "toy" / "report.md"

    frames = sum(clip.length for clip in dataset.clips if clip.split == "train")
    train = _row(text, "train")
    assert train[1:4] == ["7", "1", "4"] and float(train[5]) == round(frames / 20 / 3600, 2)
    assert _row(text, "held\\_out")[1:4] == ["1", "0", "1"]
    for way, count in (("as they came", "4"), ("joined", "1"), ("overlaid", "2")):
        assert _row(text, way)[1] == count
    assert _row(text, "made otherwise")[1] == _row(text, "at another pace")[1] == "1"

    page = _rendered(text)
    assert "Toys &amp; &lt;more&gt;" in page and "made | up" in page and "CC0" in page
    assert "<li>seed: 3</li>" in page and "input files: 1" in page
    assert '<td>B</td>\n<td style="text-align:right">4</td>' in page
    assert "nouns: man 8" in page and "verbs: do 8" in page
    assert "1 of parts of clips" in page and "test: 1 distinct, 0 of them in train too" in page
    assert "Held-out combinations" in page and "<td>run</td>\n<td>wave</td>" in page
    assert "four, arms of one 0:40 on two 1:20: a man does four" in page
    picture = Image.open(tmp_path / "toy" / "report.png")
    assert picture.width > 1000 and "report.png" in page
    assert len(picture.getcolors()) > 50


def test_drops_are_counted_by_reason(prepared, tmp_path):
    dataset = write_dataset(tmp_path / "toy", prepared, "toy")
    page = _rendered(write_report(dataset, tmp_path).read_text())
    assert (tmp_path / "report.png").is_file() and not (tmp_path / "toy" / "report.md").exists()
    cells = page[page.index("Dropped") :].replace(' style="text-align:right"', "")
    assert "5 files" in cells
    for count, reason, names in (
        (2, "turns by N to N degrees", "a_b.bvh, c.bvh"),
        (2, "under 40 frames", "d/1.bvh, d/2.bvh"),
        (1, "# no | motion here", "&lt;i&gt;|x.bvh"),
    ):
        assert f"<td>{count}</td>\n<td>{reason}</td>\n<td>{names}</td>" in cells


@pytest.mark.parametrize("text", NASTY)
def test_markdown_shows_text_as_it_is(text):
    shown = _rendered(f"- {escape(text)}\n\n| {escape(text)} |\n|---|\n| {escape(text)} |\n")
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown.count(plain) == 3
    for tag in ("<em>", "<code>", "<a ", "<img", "<b>", "<h1>", "<ol>", "<s>"):
        assert tag not in shown
    assert shown.count("<li>") == 1 and shown.count("<td>") == 1


def test_long_and_unprintable_text():
    assert escape("a\x1b[2J\nb\t\u202ec") == "a \\[2J b c"
    assert escape("x" * 300) == "x" * 199 + "…"


def test_ways_of_making(prepared, tmp_path):
    clips = write_dataset(tmp_path / "toy", prepared, "toy").clips
    assert way_of(clips[0]) == way_of(clips[1]) == "as they came"
    assert [way_of(c) for c in clips[3:7]] == [
        *("joined", "at another pace", "overlaid", "made otherwise"),
    ]


def test_a_merged_set_tells_its_sources(prepared, joints, tmp_path):
    write_dataset(tmp_path / "toy", prepared, "toy")
    other = Prepared([_sample("zoo1", joints[1])], {"zoo": Source("Zoo", "MIT", "found")})
    write_dataset(tmp_path / "zoo", other, "zoo")
    merged = merge_datasets([tmp_path / "toy", tmp_path / "zoo"], tmp_path / "both", "both")
    text = write_report(merged).read_text()
    assert _row(text, "toys")[1] == "9" and _row(text, "zoo")[1] == "1"
    assert "Licence: MIT" in text and "Licence: CC0" in text


def test_features_as_they_came_and_kit(tmp_path):
    rng = np.random.default_rng(0)
    captions = [Caption("a man walks", "man/NOUN")]
    samples = [
        Sample(n, "000001", "train", captions, features=rng.normal(size=(50, 251)), made=made)
        for n, made in (("000001", ""), ("M000001", MIRRORED))
    ]
    for sample in samples:
        sample.features = sample.features.astype(np.float32)
    prepared = Prepared(samples, {"kit": Source("KIT", "?", "told")}, skeleton=KIT)
    text = write_report(write_dataset(tmp_path / "kit", prepared, "kit")).read_text()
    assert _row(text, "as they came")[1:4] == ["2", "1", "0"]
    assert not (tmp_path / "kit" / "report.png").exists() and "report.png" not in text
    assert "Nothing." in text
