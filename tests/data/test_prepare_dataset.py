import os
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
    assert "train" in done.stdout and "skipped 1" in done.stdout
    dataset = MotionDataset.load(out)
    assert 2 <= sum(c.joined for c in dataset.clips) <= 18
    assert list(dataset.info["skipped"]) == ["dataset-2_walk_normal_001.bvh"]
    assert "templated" in dataset.info["statement"]

    again = _run(*command)
    assert again.returncode == 2 and "--overwrite" in again.stderr


@pytest.mark.parametrize("arguments", [("bandai", "--source", "nowhere"), ("bandai",), ("cmu",)])
def test_bad_usage_is_one_line(tmp_path, arguments):
    done = _run(*arguments, *(("--out", tmp_path / "out") if len(arguments) > 1 else ()))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_procedural(tmp_path):
    done = _run("procedural", "--out", tmp_path / "toy", "--clips", 10)
    assert done.returncode == 0, done.stderr
    assert len(MotionDataset.load(tmp_path / "toy").clips) == 20
