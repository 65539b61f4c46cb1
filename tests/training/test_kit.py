"""KIT-ML's 251 features all the way: prepare, train both parts, generate."""

from pathlib import Path

import numpy as np
import pytest
import torch
from finished_folder import swaying_body, write_folder

from motionmamba import MotionMambaPipeline
from motionmamba.data import write_dataset
from motionmamba.data.sources.humanml3d import prepare_kit
from motionmamba.motion.skeleton import KIT
from motionmamba.training.config import compose
from motionmamba.training.denoiser import train_denoiser
from motionmamba.training.vae import train_vae

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
QUICK = ("train=tiny", "train.steps=2", "train.batch_size=4", "train.log_every=1")
VAES = {
    "temporal": ["vae=tiny", "vae.width=16"],
    "global": ["vae=mld", "vae.num_layers=1", "vae.latent_channels=16", "vae.ff_size=16"],
}


@pytest.mark.parametrize("vae", VAES)
def test_both_parts_train_and_generate(vae, tmp_path):
    source = write_folder(tmp_path / "KIT-ML", KIT, swaying_body(KIT, 260))
    dataset = write_dataset(tmp_path / "packed", prepare_kit(source), "kit")
    quick = [*QUICK, f"dataset.path={dataset.folder}"]
    config = compose(CONFIGS, "train_vae", [*quick, *VAES[vae], "train.sample_every=2"])
    folder = train_vae(config, tmp_path / "vae")
    assert list((tmp_path / "vae" / "samples").glob("*.mp4"))
    settings = ["denoiser=tiny", "denoiser.d_model=16", f"vae={folder}", f"cache={tmp_path}"]
    config = compose(CONFIGS, "train_denoiser", [*quick, *settings, "train.sample_every=0"])
    folder = train_denoiser(config, tmp_path / "denoiser", MotionMambaPipeline)

    pipeline = MotionMambaPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.fps == 12.5 and pipeline.max_seconds == 196 / 12.5
    generator = torch.Generator().manual_seed(0)
    motion = pipeline("a person walks", seconds=2.0, generator=generator).motions[0]
    assert motion.skeleton is KIT and motion.fps == 12.5 and motion.seconds == 2.0
    assert motion.joints.shape == (25, 21, 3)
    assert np.abs(motion.joints[0]).max() < 5, "metres"
    with pytest.raises(ValueError, match=r"0\.32 to 15\.68 seconds"):
        pipeline("a person walks", seconds=16.0)
