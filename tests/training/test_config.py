from pathlib import Path

import pytest

from motionmamba.models import MotionMambaDenoiser, TemporalMotionVAE
from motionmamba.training.config import build_model, compose, save_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_overrides_pick_files_and_set_values():
    config = compose(CONFIGS, "train_vae", ["vae=tiny", "train=tiny", "train.steps=7", "out=there"])
    assert config.vae.width == 64 and config.train.batch_size == 32
    assert config.train.steps == 7 and config.out == "there"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("vae=huge", "choose one of"),
        ("train.stepz=7", "stepz"),
        ("train.steps=many", "many"),
        ("nonsense", "key=value"),
    ],
)
def test_refuses_what_it_does_not_know(override, message):
    with pytest.raises(ValueError, match=message):
        compose(CONFIGS, "train_vae", [override])


def test_saved_config_is_read_back(tmp_path):
    from omegaconf import OmegaConf

    config = compose(CONFIGS, "train_denoiser", [])
    save_config(config, tmp_path / "run")
    assert OmegaConf.load(tmp_path / "run" / "config.yaml") == config


def test_every_model_config_builds():
    for path in sorted((CONFIGS / "vae").glob("*.yaml")):
        config = compose(CONFIGS, "train_vae", [f"vae={path.stem}"])
        build_model(config.vae, num_features=263)
    known = dict(latent_channels=16, max_tokens=5, text_channels=24)
    for path in sorted((CONFIGS / "denoiser").glob("*.yaml")):
        config = compose(CONFIGS, "train_denoiser", [f"denoiser={path.stem}"])
        build_model(config.denoiser, **known)
    assert isinstance(build_model(config.denoiser, **known), MotionMambaDenoiser)
    with pytest.raises(ValueError, match="cannot build"):
        build_model(config.denoiser, no_such_argument=1)


def test_shipped_groups_build():
    vae = build_model(compose(CONFIGS, "train_vae", []).vae, num_features=263)
    assert isinstance(vae, TemporalMotionVAE)
