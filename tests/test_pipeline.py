import json
import math
import shutil

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from motionmamba import Motion, MotionMambaPipeline


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gives_motions_of_the_asked_length(pipeline):
    motions = pipeline(["she walks", "he runs"], seconds=[1.0, 2.5], generator=seeded()).motions
    assert all(isinstance(m, Motion) for m in motions)
    assert [m.joints.shape for m in motions] == [(20, 22, 3), (50, 22, 3)]
    assert [m.features.shape for m in motions] == [(20, 263), (50, 263)]
    assert [m.prompt for m in motions] == ["she walks", "he runs"]
    assert motions[0].fps == 20.0 and np.isfinite(motions[0].joints).all()


def test_seed_reproduces_and_differs(pipeline):
    def joints(seed):
        return pipeline("he jumps", num_frames=24, generator=seeded(seed)).motions[0].joints

    np.testing.assert_array_equal(joints(1), joints(1))
    assert np.abs(joints(1) - joints(2)).max() > 1e-3


def test_a_motion_does_not_depend_on_its_neighbours_in_the_batch(pipeline):
    alone = pipeline("he jumps", num_frames=24, generator=[seeded(1)]).motions[0]
    prompts = ["a long sentence about somebody who walks in circles", "he jumps"]
    generators = [seeded(5), seeded(1)]
    together = pipeline(prompts, num_frames=[24, 24], generator=generators).motions[1]
    np.testing.assert_allclose(together.joints, alone.joints, atol=1e-4)


def test_the_text_and_the_guidance_change_the_motion(pipeline):
    def joints(prompt, scale):
        call = pipeline(prompt, num_frames=24, guidance_scale=scale, generator=seeded())
        return call.motions[0].joints

    assert np.abs(joints("he jumps", 2.0) - joints("she crawls", 2.0)).max() > 1e-4
    assert np.abs(joints("he jumps", 2.0) - joints("he jumps", 5.0)).max() > 1e-4


@pytest.mark.parametrize("scheduler", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_takes_other_schedulers(pipeline, scheduler):
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    motion = pipeline("he jumps", num_frames=24, generator=seeded()).motions[0]
    assert np.isfinite(motion.joints).all()


def test_save_and_load_give_the_same_motion(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    assert not list(tmp_path.rglob("*.bin")) and list(tmp_path.rglob("*.safetensors"))
    again = MotionMambaPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert (again.config.guidance_scale, again.config.num_inference_steps) == (2.0, 3)
    first, second = (
        p("he jumps", num_frames=24, generator=seeded()).motions[0].joints
        for p in (pipeline, again)
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 4.05])
def test_refuses_lengths_it_cannot_make(pipeline, seconds):
    with pytest.raises(ValueError, match="0.2 to 4 seconds"):
        pipeline("he jumps", seconds=seconds)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt": ""},
        {"prompt": "  \n"},
        {"prompt": []},
        {"prompt": ["he jumps", ""]},
        {"prompt": "he jumps", "num_frames": 81},
        {"prompt": "he jumps", "num_frames": 20, "seconds": 1.0},
        {"prompt": ["he jumps", "he runs"], "seconds": [1.0]},
        {"prompt": "he jumps", "num_inference_steps": 0},
        {"prompt": "he jumps", "guidance_scale": math.nan},
        {"prompt": "he jumps", "num_frames": 20, "latents": torch.zeros(1, 3, 8)},
    ],
)
def test_refuses_bad_arguments(pipeline, arguments):
    with pytest.raises(ValueError):
        pipeline(**arguments)


def test_refuses_folders_that_hold_no_whole_pipeline(pipeline, tmp_path):
    good = tmp_path / "good"
    pipeline.save_pretrained(good)

    def broken(name: str):
        return shutil.copytree(good, tmp_path / name)

    with pytest.raises(ValueError, match="there is no folder"):
        MotionMambaPipeline.from_pretrained(tmp_path / "missing", local_files_only=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="model_index.json"):
        MotionMambaPipeline.from_pretrained(tmp_path / "empty")
    folder = broken("other")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("MotionMambaPipeline", "StableDiffusionPipeline"))
    with pytest.raises(ValueError, match="holds a StableDiffusionPipeline"):
        MotionMambaPipeline.from_pretrained(folder)
    folder = broken("truncated")
    weights = next((folder / "denoiser").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot load"):
        MotionMambaPipeline.from_pretrained(folder)
    folder = broken("weights of another size")
    config = folder / "denoiser" / "config.json"
    config.write_text(config.read_text().replace('"d_model": 32', '"d_model": 48'))
    with pytest.raises(ValueError, match="cannot load"):
        MotionMambaPipeline.from_pretrained(folder)
    folder = broken("another depth")
    config = folder / "denoiser" / "config.json"
    settings = json.loads(config.read_text()) | {"skip": "none"}
    config.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="not those of its config"):
        MotionMambaPipeline.from_pretrained(folder)
    folder = broken("weights missing")
    next((folder / "vae").glob("*.safetensors")).unlink()
    with pytest.raises(ValueError, match="cannot load"):
        MotionMambaPipeline.from_pretrained(folder)


def test_builds_no_class_but_its_own(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    settings = json.loads(index.read_text()) | {"vae": ["os", "system"]}
    index.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="none known here"):
        MotionMambaPipeline.from_pretrained(tmp_path)
