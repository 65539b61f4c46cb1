"""What else a denoiser may be trained for: errors weighed by noise, and a teacher's predictions."""

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from omegaconf import OmegaConf
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from motionmamba import MotionMambaPipeline
from motionmamba.models import MotionMambaDenoiser, TemporalMotionVAE
from motionmamba.training import denoiser as training
from motionmamba.training.config import compose
from motionmamba.training.denoiser import diffusion_losses, min_snr_weights, train_denoiser
from motionmamba.training.teacher import Teacher, load_teacher

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PREDICTIONS = ("epsilon", "v_prediction", "sample")
LENGTHS = torch.tensor([3, 6, 5, 6])
HIDDEN = torch.zeros(4, 6, dtype=torch.bool)
HIDDEN[:, 1:3] = True


class Guess(nn.Module):
    """A denoiser that knows its tokens and the time, and drops some of them in training."""

    def __init__(self, seed=0, device="cpu"):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, 2, device=device)
        self.dropout = nn.Dropout(0.5)

    def forward(self, sample, timestep, **_):
        time = (timestep / 1000.0)[:, None, None].expand(*sample.shape[:2], 1)
        return self.dropout(self.linear(torch.cat([sample, time], -1)))


class Oracle(nn.Module):
    """Knows what noisy latents are made of."""

    def __init__(self, schedule, latents):
        super().__init__()
        self.schedule, self.latents = schedule, latents

    def forward(self, sample, timestep, **_):
        alpha = self.schedule.alphas_cumprod[timestep][:, None, None]
        noise = (sample - alpha.sqrt() * self.latents) / (1 - alpha).sqrt()
        return answer(self.schedule, self.latents, noise, timestep)


def noise_schedule(prediction="v_prediction", **options):
    return DDPMScheduler(
        prediction_type=prediction, beta_schedule="squaredcos_cap_v2", clip_sample=False, **options
    )


def answer(schedule, latents, noise, timesteps):
    alpha = schedule.alphas_cumprod[timesteps][:, None, None]
    return {
        "epsilon": noise,
        "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * latents,
        "sample": latents,
    }[schedule.config.prediction_type]


def batch():
    latents = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(1))
    return dict(latents=latents, lengths=LENGTHS, states=None, mask=None)


def losses(student, schedule, hidden=None, **options):
    generator = torch.Generator().manual_seed(2)
    return diffusion_losses(student, schedule, batch(), generator, hidden, **options)


def draws(schedule):
    """Timesteps and noise of `losses`, and what is made of them."""
    generator, latents = torch.Generator().manual_seed(2), batch()["latents"]
    timesteps = torch.randint(1000, (4,), generator=generator)
    noise = torch.randn(latents.shape, generator=generator)
    return timesteps, noise, schedule.add_noise(latents, noise, timesteps)


def slow_weight(schedule, timestep, gamma):
    """The paper's formulas, in float64."""
    alpha = schedule.alphas_cumprod[timestep].double().item()
    snr = alpha / (1 - alpha)
    divisor = {"epsilon": snr, "v_prediction": snr + 1, "sample": 1}
    return min(snr, gamma) / divisor[schedule.config.prediction_type]


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("gamma", [1, 5.0])
def test_weights_are_those_of_the_paper(prediction, gamma):
    schedule = noise_schedule(prediction)
    weights = min_snr_weights(schedule, torch.arange(1000), gamma)
    expected = [slow_weight(schedule, step, gamma) for step in range(1000)]
    torch.testing.assert_close(weights, torch.tensor(expected), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_weights_are_finite_in_pure_noise(prediction):
    schedule = noise_schedule(prediction, rescale_betas_zero_snr=True)
    assert schedule.alphas_cumprod[-1] == 0
    weights = min_snr_weights(schedule, torch.arange(1000), 5.0)
    assert weights.isfinite().all() and weights[-1] == float(prediction == "epsilon")


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_each_motion_has_its_weight(prediction):
    schedule, student = noise_schedule(prediction), Guess().eval()
    timesteps, noise, noisy = draws(schedule)
    error = student(noisy, timesteps) - answer(schedule, batch()["latents"], noise, timesteps)
    total = 0.0
    for row, step, length in zip(error, timesteps.tolist(), LENGTHS.tolist(), strict=True):
        for token in row[:length]:
            total += slow_weight(schedule, step, 5.0) * token.square().mean().item()
    found = losses(student, schedule, min_snr_gamma=5.0)
    assert found.keys() == {"loss"}
    assert found["loss"].item() == pytest.approx(total / LENGTHS.sum().item(), rel=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("hidden", [None, HIDDEN])
def test_without_options_the_loss_is_the_plain_one(prediction, hidden):
    schedule, student = noise_schedule(prediction), Guess().eval()
    timesteps, noise, noisy = draws(schedule)
    if hidden is not None:
        noise, noisy = (x.masked_fill(hidden[..., None], 0.0) for x in (noise, noisy))
    target = answer(schedule, batch()["latents"], noise, timesteps)
    valid = torch.arange(6) < LENGTHS[:, None]
    squared = (student(noisy, timesteps) - target).square().mean(-1) * valid
    found = losses(student, schedule, hidden)
    assert found.keys() == {"loss"} and found["loss"].equal(squared.sum() / valid.sum())


@pytest.mark.parametrize("gamma", [None, 5.0])
def test_a_teacher_of_no_weight_is_none(gamma):
    schedule, student = noise_schedule(), Guess().eval()
    alone = losses(student, schedule, min_snr_gamma=gamma)["loss"]
    taught = losses(student, schedule, min_snr_gamma=gamma, teacher=Teacher(Guess(1), 0.0))
    assert taught["loss"].equal(alone) and taught["target"].equal(alone) and taught["teacher"] > 0


def test_the_loss_is_a_mean_of_both_errors():
    schedule, student, teacher = noise_schedule(), Guess().eval(), Guess(1).eval()
    timesteps, _, noisy = draws(schedule)
    valid = torch.arange(6) < LENGTHS[:, None]
    apart = student(noisy, timesteps) - teacher(noisy, timesteps)
    distance = apart[valid].square().mean()
    found = losses(student, schedule, teacher=Teacher(teacher, 0.3))
    torch.testing.assert_close(found["teacher"], distance)
    torch.testing.assert_close(found["target"], losses(student, schedule)["loss"])
    torch.testing.assert_close(found["loss"], 0.7 * found["target"] + 0.3 * found["teacher"])


def test_a_student_that_is_its_teacher_learns_from_the_truth_only():
    schedule, student = noise_schedule(), Guess().eval()
    found = losses(student, schedule, teacher=Teacher(deepcopy(student), 0.25))
    assert found["teacher"] == 0 and found["loss"].equal(0.75 * found["target"])
    found["loss"].backward()
    gradient = student.linear.weight.grad.clone()
    student.zero_grad()
    losses(student, schedule)["loss"].backward()
    torch.testing.assert_close(gradient, 0.75 * student.linear.weight.grad)


def test_a_teacher_is_frozen_and_drops_nothing():
    schedule, student = noise_schedule(), Guess().train()
    teacher = Teacher(Guess(1).train(), 1.0)
    losses(student, schedule, teacher=teacher)["loss"].backward()
    assert student.linear.weight.grad.any()
    assert all(p.grad is None and not p.requires_grad for p in teacher.denoiser.parameters())
    timesteps, _, noisy = draws(schedule)
    first = teacher(noisy.requires_grad_(), timesteps)
    assert not first.requires_grad and first.equal(teacher(noisy, timesteps))


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_a_teacher_sees_what_is_hidden_and_asks_for_it_without_its_noise(prediction):
    schedule, latents = noise_schedule(prediction), batch()["latents"]
    timesteps, noise, noisy = draws(schedule)

    def student(sample, timestep, **_):
        assert sample.equal(noisy.masked_fill(HIDDEN[..., None], 0.0))
        return answer(schedule, latents, noise.masked_fill(HIDDEN[..., None], 0.0), timestep)

    found = losses(student, schedule, HIDDEN, teacher=Teacher(Oracle(schedule, latents)))
    assert found["target"] < 1e-4 and found["teacher"] < 1e-4


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_step_stays_on_its_device(prediction, monkeypatch):
    """A CUDA graph can neither wait for the device nor copy to it; meta tensors tell the same."""

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            tensors = [x for x in (*args, result) if isinstance(x, torch.Tensor)]
            assert all(x.device.type == "meta" for x in tensors), function
            return result

    def draw(schedule, latents, generator):  # there are no generators of this device
        return torch.zeros(4, dtype=torch.long, device="meta"), torch.randn_like(latents)

    monkeypatch.setattr(training, "_draw", draw)
    schedule, student = noise_schedule(prediction), Guess(device="meta")
    on_device = {name: None if x is None else x.to("meta") for name, x in batch().items()}
    options = HIDDEN.to("meta"), 5.0, Teacher(Guess(device="meta"))
    diffusion_losses(student, schedule, on_device, None)  # brings the schedule there
    with Watch():
        diffusion_losses(student, schedule, on_device, None, *options)["loss"].backward()


@pytest.fixture
def saved(pipeline, tmp_path):
    """Folder of a small trained pipeline, and the pipeline."""
    pipeline.save_pretrained(tmp_path / "teacher")
    return tmp_path / "teacher", pipeline


def load(folder, pipeline, weight=0.5, **parts):
    known = dict(vae=pipeline.vae, schedule=DDPMScheduler(), encoder=pipeline.text_encoder)
    settings = OmegaConf.create(
        dict(teacher=None if folder is None else str(folder), teacher_weight=weight)
    )
    return load_teacher(settings, **known | parts, accelerator=Accelerator(cpu=True))


def test_a_teacher_is_loaded_from_a_pipeline_or_a_denoiser(saved):
    folder, pipeline = saved
    assert load(None, pipeline) is None
    lone = folder.with_name("lone")
    (folder / "denoiser").rename(lone)
    lone_teacher = load(lone, pipeline, 0.2)
    lone.rename(folder / "denoiser")
    for teacher in (lone_teacher, load(folder, pipeline, 0.2), load(folder / "denoiser", pipeline)):
        assert not teacher.denoiser.training
        weights = teacher.denoiser.state_dict()
        for name, value in pipeline.denoiser.state_dict().items():
            assert weights[name].equal(value) and value.dtype == torch.float32
    assert lone_teacher.weight == 0.2


def test_a_teacher_of_other_latents_texts_or_noise_is_refused(saved):
    folder, pipeline = saved
    small = dict(latent_channels=8, width=32, max_frames=80)
    vae = TemporalMotionVAE(**small, scaling_factor=2.0)
    with pytest.raises(ValueError, match=r"scaling_factor=1\.0 of its vae, this run has .*2\.0"):
        load(folder, pipeline, vae=vae)
    with pytest.raises(ValueError, match="latent_channels=8 of its vae"):
        load(folder, pipeline, vae=TemporalMotionVAE(**small | {"latent_channels": 16}))
    for options in (dict(prediction_type="v_prediction"), dict(beta_schedule="squaredcos_cap_v2")):
        for path in (folder, folder / "denoiser"):
            with pytest.raises(ValueError, match=f"{next(iter(options))}=.* of its scheduler"):
                load(path, pipeline, schedule=DDPMScheduler(**options))
    pooled = SimpleNamespace(config={"pooling": "pooled"}, config_name="config.json", channels=384)
    with pytest.raises(ValueError, match="_class_name=MiniLMTextEncoder of its text_encoder"):
        load(folder, pipeline, encoder=pooled)


def test_a_lone_teacher_of_other_shapes_is_refused(saved):
    folder, pipeline = saved
    lone = (folder / "denoiser").rename(folder.with_name("lone"))
    small = dict(latent_channels=8, width=32, max_frames=80)
    vae = TemporalMotionVAE(**small | {"latent_channels": 16})
    with pytest.raises(ValueError, match="takes latents of 8 channels, this run has .* 16 chan"):
        load(lone, pipeline, vae=vae)
    with pytest.raises(ValueError, match="takes texts of 384 channels, this run has .* 768 chan"):
        load(lone, pipeline, encoder=SimpleNamespace(channels=768))
    with pytest.raises(ValueError, match="takes up to 20 latent tokens, this run has up to 21"):
        load(lone, pipeline, vae=TemporalMotionVAE(**small | {"max_frames": 84}))
    assert load(lone, pipeline, vae=TemporalMotionVAE(**small | {"max_frames": 40})) is not None


def test_a_folder_without_a_sound_denoiser_is_refused(saved):
    folder, pipeline = saved
    for path in (folder / "nowhere", folder / "vae", folder.parent):
        with pytest.raises(ValueError, match="holds no trained denoiser; set train.teacher"):
            load(path, pipeline)
    config = folder / "denoiser" / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"positional": "none", "mixer": "cross"}))
    with pytest.raises(ValueError, match="not those of its config.json"):
        load(folder, pipeline)
    (folder / "denoiser" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="cannot load the teacher"):
        load(folder, pipeline)
    config.write_text("{")
    with pytest.raises(ValueError, match="no readable configuration"):
        load(folder, pipeline)


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan")])
def test_a_weight_that_is_no_share_is_refused(saved, weight):
    with pytest.raises(ValueError, match="train.teacher_weight is .*, expected a share"):
        load(*saved, weight)


@pytest.fixture(scope="module")
def train(dataset, tmp_path_factory):
    """Trains a very small denoiser, in a folder of a name, with more overrides."""
    root = tmp_path_factory.mktemp("runs")
    vae = TemporalMotionVAE(latent_channels=8, width=16, max_frames=32)
    vae.set_statistics(dataset.mean, dataset.std)
    vae.save_pretrained(root / "vae")

    def train(name, *overrides):
        options = [
            *("denoiser=tiny", "denoiser.d_model=16", "train=tiny", "train.device=cpu"),
            *("train.steps=2", "train.batch_size=4", "train.log_every=1", "train.sample_every=0"),
            *(f"dataset.path={dataset.folder}", f"vae={root / 'vae'}", f"cache={root / 'cache'}"),
        ]
        config = compose(CONFIGS, "train_denoiser", [*options, *overrides])
        return train_denoiser(config, root / name, MotionMambaPipeline)

    train.root = root
    return train


def test_a_denoiser_learns_from_a_smaller_one(train, monkeypatch):
    small = train("small", "train.min_snr_gamma=5.0")
    seen = []

    def watched(*arguments):
        found = diffusion_losses(*arguments)
        seen.append(found.keys())
        return found

    monkeypatch.setattr(training, "diffusion_losses", watched)
    large = train("large", "denoiser.d_model=32", f"train.teacher={small}", "train.min_snr_gamma=5")
    assert seen == [{"loss", "target", "teacher"}] * 2
    denoiser = MotionMambaDenoiser.from_pretrained(large / "denoiser")
    assert denoiser.config.d_model == 32
    weights = [list(train.root.glob(f"{run}/**/model.safetensors")) for run in ("small", "large")]
    assert len(weights[0]) == len(weights[1]) > 0, "a checkpoint is of the student alone"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.min_snr_gamma=0", "train.min_snr_gamma is 0, expected a number above 0"),
        ("train.min_snr_gamma=five", "train.min_snr_gamma is 'five'"),
        ("train.min_snr_gamma=true", "train.min_snr_gamma is True"),
        ("train.min_snr_gamma=.inf", "train.min_snr_gamma is inf"),
        ("train.teacher=nowhere", "nowhere holds no trained denoiser"),
        ("train.teacher=5", "5 holds no trained denoiser"),
    ],
)
def test_a_bad_objective_is_refused_before_anything_is_written(train, override, message):
    with pytest.raises(ValueError, match=message):
        train("bad", override)
    assert not (train.root / "bad").exists()


def test_a_teacher_that_cannot_scan_all_of_a_text_is_refused(train):
    known = dict(latent_channels=8, max_tokens=8, text_channels=384, scans=(1,))
    teacher = MotionMambaDenoiser(**known, d_model=16, text_conditioning="sequence")
    teacher.save_pretrained(train.root / "scanning")
    with pytest.raises(ValueError, match="the teacher scans 1; choose another teacher"):
        train("bad", f"train.teacher={train.root / 'scanning'}")
    assert not (train.root / "bad").exists()
