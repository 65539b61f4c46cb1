"""The way of a newcomer: prepare, train both parts with their tiny configs, generate."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from motionmamba import MotionMambaPipeline
from motionmamba.models import TemporalMotionVAE
from motionmamba.training.batches import WindowSampler

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run(*arguments, folder):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def script(name, *arguments, folder):
    return run(SCRIPTS / name, *arguments, folder=folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, dataset):
    """A folder in which both scripts have run with their tiny configs."""
    folder = tmp_path_factory.mktemp("run")
    path = f"dataset.path={dataset.folder}"
    vae = script("train_vae.py", "vae=tiny", "train=tiny", path, folder=folder)
    assert vae.returncode == 0, vae.stderr
    # a third of its steps show as much as all of them
    short = ("train.steps=100", "train.checkpoint_every=50", "train.sample_every=50")
    options = ("denoiser=tiny", "train=tiny", path, *short)
    denoiser = script("train_denoiser.py", *options, folder=folder)
    assert denoiser.returncode == 0, denoiser.stderr
    return folder


def test_the_vae_learns_to_reconstruct(trained, dataset):
    vae = TemporalMotionVAE.from_pretrained(trained / "runs" / "vae" / "vae").eval()
    np.testing.assert_allclose(vae.mean, dataset.mean, rtol=1e-6)
    batch = WindowSampler(dataset, "test", vae.mean, vae.std, 64, "cpu")(16, torch.Generator())
    with torch.inference_mode():
        made, posterior = vae(batch["features"], batch["lengths"])
        scaled = (
            posterior.mean[posterior.mask.expand_as(posterior.mean)] * vae.config.scaling_factor
        )
    error = (made - batch["features"]).square().mean() / batch["features"].square().mean()
    assert error < 0.4 and 0.5 < scaled.std() < 1.5


def test_the_pipeline_generates(trained):
    pipe = MotionMambaPipeline.from_pretrained(trained / "runs" / "denoiser" / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    motion = pipe("a person walks", seconds=3.0, generator=torch.Generator().manual_seed(0))
    joints = motion.motions[0].joints
    thigh = np.linalg.norm(joints[:, 4] - joints[:, 1], axis=-1)
    assert joints.shape == (60, 22, 3) and 0.6 < joints[:, 0, 1].mean() < 1.2
    assert np.abs(thigh - 0.39).max() < 0.2, "a body, not noise"


def test_runs_leave_what_a_researcher_looks_for(trained):
    for part in ("vae", "denoiser"):
        folder = trained / "runs" / part
        assert (folder / "config.yaml").is_file()
        assert len(list((folder / "checkpoints").iterdir())) == 2
        assert len(list((folder / "samples").glob("*.mp4"))) == 2
        assert list((folder / "logs").rglob("events.out.tfevents*"))


def test_resume_goes_on(trained, dataset):
    again = script(
        *("train_vae.py", "vae=tiny", "train=tiny", f"dataset.path={dataset.folder}"),
        *("train.steps=302", "train.sample_every=0", "--resume"),
        folder=trained,
    )
    assert again.returncode == 0, again.stderr
    assert (trained / "runs" / "vae" / "checkpoints" / "step-00000302").is_dir()


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("train_vae.py", ["vae=huge"], "choose one of"),
        ("train_vae.py", ["dataset.path=nowhere"], "no packed data set"),
        ("train_denoiser.py", ["vae=nowhere", "dataset.path={data}"], "no trained VAE"),
    ],
)
def test_bad_input_is_one_line(name, arguments, complaint, dataset, tmp_path):
    arguments = [a.format(data=dataset.folder) for a in arguments]
    result = script(name, *arguments, folder=tmp_path)
    assert result.returncode == 2 and complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_denoiser_that_scans_its_text_takes_all_of_it_or_none(trained, dataset):
    """Cut to its first words, a caption would lose the side it ends with."""
    result = script(
        *("train_denoiser.py", "denoiser=motion_mamba", "train=tiny", "out=runs/canonical"),
        f"dataset.path={dataset.folder}",
        folder=trained,
    )
    assert result.returncode == 2 and "text_encoder.pooling=pooled" in result.stderr
    assert not (trained / "runs" / "canonical").exists()


def test_two_processes_train_together(dataset, tmp_path):
    result = run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *(SCRIPTS / "train_vae.py", "vae=tiny", "train=tiny", f"dataset.path={dataset.folder}"),
        *("train.steps=4", "train.sample_every=0", "train.device=cpu"),
        folder=tmp_path,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert (tmp_path / "runs" / "vae" / "vae" / "config.json").is_file()
    summary = json.loads((tmp_path / "runs" / "vae" / "training.json").read_text())
    assert summary["processes"] == 2 and summary["batch_size"] == 64
