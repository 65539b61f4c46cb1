import json

import numpy as np
import pytest
from finished_folder import swaying_body

from motionmamba.motion import HUMANML3D, KIT, Motion
from motionmamba.motion.export.json import read_json, write_json


@pytest.fixture
def motion():
    joints = np.random.default_rng(0).normal(size=(7, 22, 3)).astype(np.float32)
    return Motion(joints=joints, fps=30, prompt='she says "läuft"')


def test_what_a_page_reads(motion, tmp_path):
    write_json(tmp_path / "motion.json", motion)
    stored = json.loads((tmp_path / "motion.json").read_text())
    assert (stored["fps"], stored["prompt"], stored["up"]) == (30, motion.prompt, "y")
    assert stored["joint_names"] == list(HUMANML3D.joint_names)
    assert stored["parents"] == list(HUMANML3D.parents)
    np.testing.assert_allclose(stored["joints"], motion.joints, atol=5.1e-5)
    assert (tmp_path / "motion.json").stat().st_size < 12 * motion.joints.size


def test_it_comes_back(motion, tmp_path):
    write_json(tmp_path / "motion.json", motion)
    loaded = read_json(tmp_path / "motion.json")
    np.testing.assert_allclose(loaded.joints, motion.joints, atol=5.1e-5)
    assert (loaded.fps, loaded.prompt) == (30, motion.prompt)


def test_kit_comes_back(tmp_path):
    motion = Motion(features=swaying_body(KIT, 10))
    write_json(tmp_path / "motion.json", motion)
    loaded = read_json(tmp_path / "motion.json")
    assert loaded.skeleton is KIT and loaded.fps == 12.5
    np.testing.assert_allclose(loaded.joints, motion.joints, atol=5.1e-5)


def test_joints_alone_are_enough(tmp_path):
    (tmp_path / "motion.json").write_text(json.dumps({"joints": np.zeros((2, 22, 3)).tolist()}))
    loaded = read_json(tmp_path / "motion.json")
    assert (len(loaded), loaded.fps, loaded.prompt) == (2, 20, "")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1, 2]",
        "{}",
        "\x80",
        "[" * 100_000,
        '{"joints": 1}',
        '{"joints": [[[1, 2, 3]]]}',
        '{"joints": [[[1, 2], [3]]]}',
        '{"joints": [["a"]]}',
        json.dumps({"joints": np.full((2, 22, 3), "1").tolist()}),
        json.dumps({"joints": np.full((2, 22, 3), 10**400, dtype=object).tolist()}),
        json.dumps({"joints": np.zeros((2, 22, 3)).tolist(), "fps": "fast"}),
        json.dumps({"joints": np.zeros((2, 22, 3)).tolist(), "prompt": 3}),
    ],
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "motion.json"
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(ValueError, match=r"motion\.json is no JSON object with 'joints'"):
        read_json(path)


@pytest.mark.parametrize("wrong", [{"fps": -1}, {"joints": [[[float("nan")] * 3] * 22]}])
def test_bad_values_are_refused(wrong, tmp_path):
    path = tmp_path / "motion.json"
    path.write_text(json.dumps({"joints": np.zeros((2, 22, 3)).tolist()} | wrong))
    with pytest.raises(ValueError, match="positive|NaN"):
        read_json(path)
