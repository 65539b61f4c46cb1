"""Training of the latent denoiser: text-conditioned diffusion in the latent space of a VAE."""

import warnings
from pathlib import Path

import diffusers
import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from omegaconf import DictConfig, OmegaConf

from motionmamba import models
from motionmamba.data import MotionDataset
from motionmamba.models import text_encoder as text_encoders
from motionmamba.motion.render import render_video
from motionmamba.training.batches import LatentSampler, bucket_count
from motionmamba.training.config import build_model, save_config
from motionmamba.training.loop import fit, make_accelerator
from motionmamba.training.masking import LatentMask, Masking
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
    )
    torch.manual_seed(config.train.seed)
    denoiser = build_model(
        config.denoiser,
        latent_channels=vae.config.latent_channels,
        max_tokens=_token_limit(vae),
        text_channels=encoder.channels,
    )
    _check_text(denoiser, batches.text)

    def compute_losses(model, generator):
        batch = batches(config.train.batch_size, generator, config.diffusion.caption_dropout)
        hidden = hide(batch["lengths"], batch["latents"].shape[1], generator)
        return {"loss": diffusion_loss(model, schedule, batch, generator, hidden)}

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


def _check_text(denoiser, text: CaptionEmbeddings):
    """Refuses texts of which a denoiser that scans them would see the first words only."""
    if denoiser.config.get("text_conditioning") != "sequence":
        return
    room, longest = denoiser.config.max_text_tokens, text.longest
    if longest > room:
        raise ValueError(
            f"captions have up to {longest} tokens, this denoiser scans {room}; set "
            f"text_encoder.pooling=pooled or denoiser.max_text_tokens={longest}"
        )


def _token_limit(vae) -> int:
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


def diffusion_loss(
    denoiser, schedule: DDPMScheduler, batch, generator, hidden: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean squared error of the noise, velocity or sample that the schedule says to predict.

    Args:
        batch: `latents` (B, L, C), `lengths` (B,), `states` (B, S, D), `mask` (B, S).
        hidden: tokens (B, L) that the denoiser sees as zeros. It is asked for them all the same,
            without their noise: that would be the best answer of one who cannot see it.
    """
    latents = batch["latents"]
    device = latents.device
    timesteps = torch.randint(
        schedule.config.num_train_timesteps, (len(latents),), generator=generator, device=device
    )
    noise = torch.randn(latents.shape, generator=generator, device=device)
    noisy = schedule.add_noise(latents, noise, timesteps)
    if hidden is not None:
        noise, noisy = (x.masked_fill(hidden[..., None], 0.0) for x in (noise, noisy))
    prediction = denoiser(
        noisy,
        timesteps,
        encoder_hidden_states=batch["states"],
        encoder_attention_mask=batch["mask"],
        lengths=batch["lengths"],
    )
    targets = {
        "epsilon": lambda: noise,
        "v_prediction": lambda: schedule.get_velocity(latents, noise, timesteps),
        "sample": lambda: latents,
    }
    error = prediction.float() - targets[schedule.config.prediction_type]()
    valid = torch.arange(latents.shape[1], device=device) < batch["lengths"][:, None]
    squared = error.square().mean(-1) * valid
    return squared.sum() / valid.sum()
