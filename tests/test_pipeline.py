import json
import math
import shutil

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from motionmamba import Motion, MotionMambaPipeline
from motionmamba.models import LengthPredictor


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


SENTENCES = ["he jumps", "she walks in a circle", "somebody bows", "a man kicks", "they dance"]


def predicted(pipe) -> list[int]:
    return pipe.length_predictor.predict(*pipe.text_encoder.encode(SENTENCES)).tolist()


def test_takes_as_long_as_each_sentence_says(predicting):
    frames = predicted(predicting)
    assert len(set(frames)) > 2 and 4 <= min(frames) and max(frames) <= 80
    motions = predicting(SENTENCES, generator=seeded()).motions
    # two seconds at least, as of recordings that models are measured with
    assert [len(m.joints) for m in motions] == [max(count, 40) for count in frames]
    again = predicting(SENTENCES[1], generator=seeded(1)).motions[0]
    assert len(again.joints) == frames[1]


def test_a_length_that_is_given_needs_no_prediction(predicting):
    assert len(predicting("he jumps", seconds=1.0, generator=seeded()).motions[0].joints) == 20
    assert len(predicting("he jumps", num_frames=9, generator=seeded()).motions[0].joints) == 9


def test_no_longer_than_the_model_goes(predicting, text_encoder):
    longer = LengthPredictor(text_encoder.channels, hidden_size=8, max_frames=196).eval()
    longer.layers[-1].bias.data[-1] = 100.0
    predicting.register_modules(length_predictor=longer)
    assert len(predicting("he jumps", generator=seeded()).motions[0].joints) == 80


def test_six_seconds_without_a_length_predictor(pipeline):
    assert pipeline.length_predictor is None
    with pytest.raises(ValueError, match="seconds is 6, this model makes motions of 0.2 to 4"):
        pipeline("he jumps")


def test_saves_and_loads_a_length_predictor(predicting, tmp_path):
    frames = predicted(predicting)
    predicting.save_pretrained(tmp_path)
    again = MotionMambaPipeline.from_pretrained(tmp_path, torch_dtype=torch.float16)
    assert type(again.length_predictor) is LengthPredictor and predicted(again) == frames
    assert (again.denoiser.dtype, again.length_predictor.dtype) == (torch.float16, torch.float32)
    again.length_predictor.half().save_pretrained(tmp_path / "length_predictor")
    widened = MotionMambaPipeline.from_pretrained(tmp_path).length_predictor
    assert widened.dtype == torch.float32 and not widened.training


def test_folders_without_a_length_predictor_load(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    settings = json.loads(index.read_text())
    assert settings["length_predictor"] == [None, None]
    for saved in ({}, {"length_predictor": [None, None]}, {"length_predictor": None}):
        del settings["length_predictor"]  # as folders from before there was any
        settings |= saved
        index.write_text(json.dumps(settings))
        assert MotionMambaPipeline.from_pretrained(tmp_path).length_predictor is None
        settings.setdefault("length_predictor")


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


def test_refuses_length_predictors_that_are_broken_or_of_another_text(predicting, tmp_path):
    predicting.save_pretrained(tmp_path)
    part = tmp_path / "length_predictor"
    config = part / "config.json"
    kept = config.read_text()
    for line, other in (('"hidden_size": 8', '"hidden_size": 9'), ("{", "")):
        config.write_text(kept.replace(line, other, 1))
        with pytest.raises(ValueError, match="cannot load .*length_predictor"):
            MotionMambaPipeline.from_pretrained(tmp_path)
    config.write_text(kept)
    weights = next(part.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot load .*length_predictor"):
        MotionMambaPipeline.from_pretrained(tmp_path)
    shutil.rmtree(part)
    with pytest.raises(ValueError, match="has no folder length_predictor"):
        MotionMambaPipeline.from_pretrained(tmp_path)
    predicting.register_modules(length_predictor=LengthPredictor(text_channels=512))
    with pytest.raises(ValueError, match="use the text encoder that it was trained with"):
        predicting("he jumps")


@pytest.mark.parametrize("part", ["vae", "length_predictor"])
def test_builds_no_class_but_its_own(predicting, tmp_path, part):
    predicting.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    settings = json.loads(index.read_text()) | {part: ["os", "system"]}
    index.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="none known here"):
        MotionMambaPipeline.from_pretrained(tmp_path)
