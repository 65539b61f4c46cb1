"""Fixtures shared by all tests."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: the workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import browser
import pytest


def pytest_collection_modifyitems(items):
    """The folders with the slowest files first, so that no process is left alone with them."""
    slowest = ["training", "scripts", "ops", "app"]
    order = {name: place for place, name in enumerate(slowest)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of reference recordings beside the repository; skipped where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"reference data not present at {folder}")
    return folder


@pytest.fixture(scope="session")
def only_driver(tmp_path_factory):
    driver = browser.start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def driver(only_driver):
    """The one browser for all pages; what a page plays ends with its test."""
    yield only_driver
    only_driver.get("about:blank")


@pytest.fixture(scope="session")
def text_encoder():
    from motionmamba.models.text_encoder import MiniLMTextEncoder

    return MiniLMTextEncoder()


@pytest.fixture
def pipeline(text_encoder):
    """An untrained pipeline, small enough to sample in a blink."""
    import torch
    from diffusers import DDIMScheduler

    from motionmamba.models import MotionMambaDenoiser, TemporalMotionVAE
    from motionmamba.pipeline import MotionMambaPipeline

    torch.manual_seed(0)
    vae = TemporalMotionVAE(latent_channels=8, width=32, max_frames=80).eval()
    denoiser = MotionMambaDenoiser(
        latent_channels=8,
        d_model=32,
        max_tokens=20,
        text_channels=text_encoder.channels,
        scans=(2, 1),
        d_state=4,
        text_conditioning="cross_attention",
    ).eval()
    torch.nn.init.normal_(denoiser.out_proj.weight, std=0.1)
    pipe = MotionMambaPipeline(
        vae, denoiser, DDIMScheduler(), text_encoder, guidance_scale=2.0, num_inference_steps=3
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def length_predictor(text_encoder):
    """An untrained one that is sure of what it says: another length for most sentences."""
    import torch

    from motionmamba.models import LengthPredictor

    torch.manual_seed(0)
    predictor = LengthPredictor(text_encoder.channels, hidden_size=8, max_frames=80).eval()
    torch.nn.init.normal_(predictor.layers[-1].weight, std=100.0)
    return predictor


@pytest.fixture
def predicting(pipeline, length_predictor):
    """The untrained pipeline with a length predictor."""
    pipeline.register_modules(length_predictor=length_predictor)
    return pipeline
