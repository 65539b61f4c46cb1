import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bandai_files import write_takes

from motionmamba.data import MotionDataset

ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments):
    command = [sys.executable, ROOT / "scripts" / "prepare_dataset.py", *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_bandai_from_a_folder(tmp_path):
    (tmp_path / "takes").mkdir()
    write_takes(tmp_path / "takes", 4)
    (tmp_path / "takes" / "dataset-2_walk_normal_001.bvh").write_text("no BVH")
    out = tmp_path / "packed"
    command = ("bandai", "--source", tmp_path / "takes", "--out", out, "--joined", 9)
    done = _run(*command)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout and "1 files or clips were dropped" in done.stdout
    dataset = MotionDataset.load(out)
    assert any(clip.made.startswith("joined") for clip in dataset.clips)
    assert list(dataset.info["dropped"]) == ["dataset-2_walk_normal_001.bvh"]
    assert "templated" in dataset.info["sources"]["bandai"]["statement"]
    assert (out / "report.md").is_file() and (out / "report.png").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "takes"]

    again = _run(*command)
    assert again.returncode == 2 and "--overwrite" in again.stderr


def test_bvh_with_a_guessed_map_prints_what_it_decided(tmp_path):
    write_takes(tmp_path, 2)
    options = ("--licence", "CC0", "--name-pattern", "dataset-2_{content}_{style}_{id}")
    done = _run("bvh", "--source", tmp_path, "--out", tmp_path / "packed", *options)
    assert done.returncode == 0, done.stderr
    assert "unit: centimetres" in done.stdout and "left_hip: UpperLeg_L" in done.stdout
    captions = set(MotionDataset.load(tmp_path / "packed").captions)
    assert captions == {"normal raise up left hand", "normal raise up right hand"}


@pytest.mark.parametrize("arguments", [("bandai", "--source", "nowhere"), ("bandai",), ("kinect",)])
def test_bad_usage_is_one_line(tmp_path, arguments):
    done = _run(*arguments, *(("--out", tmp_path / "out") if len(arguments) > 1 else ()))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_procedural_checked_and_merged(tmp_path):
    done = _run("procedural", "--out", tmp_path / "toy0", "--clips", 10)
    assert done.returncode == 0, done.stderr
    assert len(MotionDataset.load(tmp_path / "toy0").clips) == 20
    shutil.copytree(tmp_path / "toy0", tmp_path / "toy1")
    done = _run("check", tmp_path / "toy0", "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "found.json").is_file()

    content = bytearray((tmp_path / "toy1" / "bones.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "toy1" / "bones.npy").write_bytes(content)
    done = _run("check", tmp_path / "toy1")
    assert done.returncode == 1 and "bones.npy" in done.stdout
    done = _run("check", tmp_path / "nowhere")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1

    same = _run("merge", tmp_path / "toy0", tmp_path / "toy0", "--out", tmp_path / "both")
    assert same.returncode == 2 and "merge each set once" in same.stderr
