"""Training of the latent denoiser: text-conditioned diffusion in the latent space of a VAE."""

import math
import warnings
from pathlib import Path

import diffusers
import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from diffusers.training_utils import compute_snr
from omegaconf import DictConfig, OmegaConf

from motionmamba import models
from motionmamba.data import MotionDataset
from motionmamba.models import text_encoder as text_encoders
from motionmamba.models.common import length_mask
from motionmamba.motion.render import render_video
from motionmamba.training.batches import LatentSampler, bucket_count
from motionmamba.training.config import build_model, save_config
from motionmamba.training.loop import Losses, fit, make_accelerator
from motionmamba.training.masking import LatentMask, Masking
from motionmamba.training.teacher import Teacher, load_teacher
from motionmamba.training.text import CaptionEmbeddings, embed_captions


def train_denoiser(
    config: DictConfig, run: Path, pipeline_class: type[DiffusionPipeline], resume: bool = False
) -> Path:
    """Trains the denoiser that `config` describes; gives the folder of the whole pipeline.

    Args:
        pipeline_class: what VAE, denoiser, scheduler and text encoder are saved and sampled as;
            handed in, since pipelines stand above training.
    """
    dataset = MotionDataset.load(config.dataset.path)
    vae = load_vae(config.vae)
    encoder = build_text_encoder(config.text_encoder)
    accelerator = make_accelerator(config.train, run)
    schedule = noise_schedule(config.diffusion)
    prediction = schedule.config.prediction_type
    hide = LatentMask(Masking.from_config(config.train), vae, prediction)
    gamma = _min_snr_gamma(config.train)
    teacher = load_teacher(config.train, vae, schedule, encoder, accelerator)
    device = accelerator.device
    encoder.to(device)
    vae.to(device)

    def embed(captions: list[str]) -> CaptionEmbeddings:
        with accelerator.main_process_first():
            return embed_captions(encoder, captions, Path(config.cache))

    batches = LatentSampler(
        *(dataset, "train", vae, embed, device),
        random_crops=config.train.random_crops,
        buckets=bucket_count(config.train, device),
        balance=config.train.balance,
        scenes=config.train.scenes,
    )
    torch.manual_seed(config.train.seed)
    denoiser = build_model(
        config.denoiser,
        latent_channels=vae.config.latent_channels,
        max_tokens=token_limit(vae),
        text_channels=encoder.channels,
    )
    _check_text(denoiser, batches.text)
    if teacher is not None:
        _check_text(teacher.denoiser, batches.text, "the teacher", "choose another teacher")

    def compute_losses(model, generator):
        batch = batches(config.train.batch_size, generator, config.diffusion.caption_dropout)
        hidden = hide(batch["lengths"], batch["latents"].shape[1], generator)
        return diffusion_losses(model, schedule, batch, generator, hidden, gamma, teacher)

    def make_pipeline(model) -> DiffusionPipeline:
        return pipeline_class(
            vae,
            model,
            sampler(config.diffusion),
            encoder,
            guidance_scale=config.diffusion.guidance_scale,
            num_inference_steps=config.diffusion.num_inference_steps,
        )

    def show_samples(model, step):
        pipeline = make_pipeline(model)
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator(device).manual_seed(0)
        try:
            motions = pipeline(list(config.sample_prompts), generator=generator).motions
        except ValueError as error:  # an early network may well sample infinity
            warnings.warn(f"no sample video at step {step}: {error}", stacklevel=2)
            return
        video = run / "samples" / f"step-{step:08d}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        render_video(motions, video, body="skeleton")

    save_config(config, run)
    denoiser = fit(accelerator, denoiser, compute_losses, config.train, run, resume, show_samples)
    folder = run / "pipeline"
    if accelerator.is_main_process:
        make_pipeline(denoiser).save_pretrained(folder)
    accelerator.wait_for_everyone()
    return folder


def _check_text(
    denoiser, text: CaptionEmbeddings, name: str = "this denoiser", advice: str | None = None
):
    """Refuses texts of which a denoiser that scans them would see the first words only."""
    if denoiser.config.get("text_conditioning") != "sequence":
        return
    room, longest = denoiser.config.max_text_tokens, text.longest
    if longest > room:
        advice = advice or (
            f"set text_encoder.pooling=pooled or denoiser.max_text_tokens={longest}"
        )
        raise ValueError(f"captions have up to {longest} tokens, {name} scans {room}; {advice}")


def token_limit(vae) -> int:
    """The most latent tokens, rounded up: tensor cores are fast on multiples of 8 only."""
    tokens = int(vae.latent_lengths(torch.tensor([vae.config.max_frames])))
    return tokens if tokens < 8 else -(-tokens // 8) * 8


def load_vae(folder: str) -> torch.nn.Module:
    """Loads a trained VAE of either kind from its folder."""
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise ValueError(f"{path} holds no trained VAE; run scripts/train_vae.py or set vae=FOLDER")
    name = models.MotionVAE.load_config(path)["_class_name"]
    return getattr(models, name).from_pretrained(path).eval().requires_grad_(False)


def build_text_encoder(settings: DictConfig) -> text_encoders.TextEncoder:
    arguments = OmegaConf.to_container(settings, resolve=True)
    return getattr(text_encoders, arguments.pop("_class_name"))(**arguments)


def noise_schedule(diffusion: DictConfig) -> DDPMScheduler:
    """The training schedule; its options are those of `diffusers.DDPMScheduler`."""
    return DDPMScheduler(**OmegaConf.to_container(diffusion.schedule, resolve=True))


def sampler(diffusion: DictConfig):
    """The sampling scheduler, a diffusers class with options of its own, on the same schedule."""
    arguments = OmegaConf.to_container(diffusion.sampler, resolve=True)
    scheduler_class = getattr(diffusers, arguments.pop("_class_name"))
    return scheduler_class.from_config(noise_schedule(diffusion).config, **arguments)


def diffusion_losses(
    denoiser,
    schedule: DDPMScheduler,
    batch: dict[str, torch.Tensor],
    generator: torch.Generator,
    hidden: torch.Tensor | None = None,
    min_snr_gamma: float | None = None,
    teacher: Teacher | None = None,
) -> Losses:
    """Mean squared error of the noise, velocity or sample that the schedule says to predict.

    Args:
        batch: `latents` (B, L, C), `lengths` (B,), `states` (B, S, D), `mask` (B, S).
        hidden: tokens (B, L) that the denoiser sees as zeros. It is asked for them all the same,
            without their noise: that would be the best answer of one who cannot see it.
        min_snr_gamma: weighs motions by their noise, see `min_snr_weights`; all alike by default.
        teacher: sees everything. `loss` is then a mean of the errors against the truth and
            against its predictions, which are `target` and `teacher`.
    """
    latents = batch["latents"]
    timesteps, noise = _draw(schedule, latents, generator)
    shown = noisy = schedule.add_noise(latents, noise, timesteps)
    if hidden is not None:
        noise, shown = (x.masked_fill(hidden[..., None], 0.0) for x in (noise, noisy))
    conditions = dict(
        encoder_hidden_states=batch["states"],
        encoder_attention_mask=batch["mask"],
        lengths=batch["lengths"],
    )
    prediction = denoiser(shown, timesteps, **conditions).float()
    weights = None
    if min_snr_gamma is not None:
        weights = min_snr_weights(schedule, timesteps, min_snr_gamma)

    def error(answer: torch.Tensor) -> torch.Tensor:
        return _mean_square(prediction - answer, batch["lengths"], weights)

    target = error(_target(schedule, latents, noise, timesteps))
    if teacher is None:
        return {"loss": target}
    answer = teacher(noisy, timesteps, **conditions)
    if hidden is not None:
        noiseless = _without_noise(schedule, answer, noisy, timesteps)
        answer = torch.where(hidden[..., None], noiseless, answer)
    taught = error(answer)
    loss = (1 - teacher.weight) * target + teacher.weight * taught
    return {"loss": loss, "target": target, "teacher": taught}


def _draw(
    schedule: DDPMScheduler, latents: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random timesteps (B,) and noise (B, L, C) for latents (B, L, C)."""
    steps, device = schedule.config.num_train_timesteps, latents.device
    timesteps = torch.randint(steps, (len(latents),), generator=generator, device=device)
    return timesteps, torch.randn(latents.shape, generator=generator, device=device)


def _mean_square(
    error: torch.Tensor, lengths: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Mean over valid tokens of errors (B, L, C) squared, those of each motion times its weight."""
    valid = length_mask(lengths, error.shape[1])
    squared = error.square().mean(-1) * valid
    if weights is not None:
        squared = squared * weights[:, None]
    return squared.sum() / valid.sum()


def _target(schedule: DDPMScheduler, latents, noise, timesteps) -> torch.Tensor:
    """What the schedule says to predict (B, L, C)."""
    targets = {
        "epsilon": lambda: noise,
        "v_prediction": lambda: schedule.get_velocity(latents, noise, timesteps),
        "sample": lambda: latents,
    }
    return targets[schedule.config.prediction_type]()


def _without_noise(schedule: DDPMScheduler, answer, noisy, timesteps) -> torch.Tensor:
    """What was predicted (B, L, C) less what it tells of the noise in noisy latents (B, L, C)."""
    if schedule.config.prediction_type == "sample":
        return answer
    zeros = torch.zeros_like(answer)
    if schedule.config.prediction_type == "epsilon":
        return zeros
    # with v = αε - σx and z = αx + σε, the sample x is αz - σv: the velocity's own formula
    sample = schedule.get_velocity(answer, noisy, timesteps)
    return schedule.get_velocity(sample, zeros, timesteps)


def min_snr_weights(schedule: DDPMScheduler, timesteps: torch.Tensor, gamma: float) -> torch.Tensor:
    """Weights (B,) of the errors at timesteps (B,), after min-SNR-γ (Hang et al. 2023).

    A clean sample's squared error weighs as much as the ratio of signal to noise (SNR), `gamma`
    at most. That of noise is SNR times as large, that of velocity SNR + 1 times: they weigh less.
    """
    snr = compute_snr(schedule, timesteps)  # on the device, where add_noise has put the schedule
    weights = {
        "epsilon": lambda: (gamma / snr).clamp(max=1.0),  # min(snr, γ) / snr, also where snr is 0
        "v_prediction": lambda: snr.clamp(max=gamma) / (snr + 1.0),
        "sample": lambda: snr.clamp(max=gamma),
    }
    return weights[schedule.config.prediction_type]()


def _min_snr_gamma(train: DictConfig) -> float | None:
    gamma = train.min_snr_gamma
    if gamma is None or (type(gamma) in (int, float) and 0 < gamma < math.inf):
        return gamma
    raise ValueError(
        f"train.min_snr_gamma is {gamma!r}, expected a number above 0, such as the paper's 5.0; "
        "switch the weighting off with train.min_snr_gamma=null"
    )
