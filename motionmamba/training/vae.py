"""Training of the motion VAE."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from motionmamba.data import MotionDataset
from motionmamba.motion.features import features_to_joints
from motionmamba.motion.motion import Motion
from motionmamba.motion.render import render_video
from motionmamba.motion.skeleton import skeleton_of
from motionmamba.training.batches import WindowSampler, bucket_count
from motionmamba.training.config import build_model, save_config
from motionmamba.training.loop import fit, make_accelerator
from motionmamba.training.masking import FeatureMask, Masking


def train_vae(config: DictConfig, run: Path, resume: bool = False) -> Path:
    """Trains the VAE that `config` describes; gives the folder of its averaged weights."""
    dataset = MotionDataset.load(config.dataset.path)
    accelerator = make_accelerator(config.train, run)
    torch.manual_seed(config.train.seed)
    vae = build_model(config.vae, num_features=dataset.skeleton.num_features)
    vae.set_statistics(torch.from_numpy(dataset.mean), torch.from_numpy(dataset.std))
    window = min(config.window, vae.config.max_frames)
    device = accelerator.device
    masking = Masking.from_config(config.train)
    show = FeatureMask(masking, dataset.skeleton, device)
    buckets = bucket_count(config.train, device)
    batches = WindowSampler(dataset, "train", vae.mean, vae.std, window, device, buckets)
    validation = WindowSampler(dataset, "val", vae.mean, vae.std, window, device)

    def compute_losses(model, generator):
        batch = batches(config.train.batch_size, generator)
        features, lengths = batch["features"], batch["lengths"]
        shown = show(features, lengths, generator)
        return vae_losses(model, features, lengths, config.loss, vae, generator, shown)

    def show_samples(model, step):
        video = run / "samples" / f"step-{step:08d}.mp4"
        _render_reconstruction(model, validation, video)

    save_config(config, run)
    vae = fit(accelerator, vae, compute_losses, config.train, run, resume, show_samples)
    folder = run / "vae"
    if accelerator.is_main_process:
        scale = 1.0 / latent_deviation(vae, batches)
        vae.register_to_config(scaling_factor=scale)
        vae.save_pretrained(folder)
    accelerator.wait_for_everyone()
    return folder


def vae_losses(
    model, features, lengths, weights: DictConfig, vae, generator=None, shown: Tensor | None = None
):
    """MLD's losses: smooth L1 on normalised features and on joints, and KL; and joint velocity.

    Args:
        model: the VAE, perhaps wrapped for several processes; `vae` is the bare one.
        features: (B, T, F), normalised; `lengths` (B,) frames are valid.
        weights: factors `features`, `joints`, `velocity`, `kl`, and `beta`, the width in metres
            of the quadratic part of the joint losses.
        shown: what the VAE sees, `features` by default; it is asked for all of them all the same,
            since its latents have to hold what is shown too.
    """
    seen = features if shown is None else shown
    reconstruction, posterior = model(seen, lengths, generator=generator)
    reconstruction = reconstruction.float()
    valid = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
    moves = valid[:, 1:] & valid[:, :-1]
    skeleton = skeleton_of(features.shape[-1])
    real, made = (
        features_to_joints(vae.denormalize(x), skeleton.name) * skeleton.unit
        for x in (features, reconstruction)
    )
    losses = {
        "features": _masked_l1(reconstruction, features, valid, 1.0),
        "joints": _masked_l1(made, real, valid, weights.beta),
        "velocity": _masked_l1(made.diff(dim=1), real.diff(dim=1), moves, weights.beta),
        "kl": posterior.kl(),
    }
    losses["loss"] = sum(weights[name] * value for name, value in losses.items())
    return losses


def _masked_l1(made, real, valid, beta: float) -> torch.Tensor:
    """Smooth L1 over valid frames; boolean indexing would make the device wait for the host."""
    error = smooth_l1_loss(made, real, beta=beta, reduction="none").flatten(2).mean(-1)
    return (error * valid).sum() / valid.sum()


@torch.inference_mode()
def latent_deviation(vae, batches: WindowSampler, batch_size: int = 512) -> float:
    """Standard deviation of sampled latents over windows of the training split."""
    generator = torch.Generator(batches.starts.device).manual_seed(0)
    batch = batches(batch_size, generator, batches.buckets.everything)
    latents = vae.encode(batch["features"], batch["lengths"]).sample(generator)
    tokens = vae.latent_lengths(batch["lengths"])
    valid = torch.arange(latents.shape[1], device=latents.device) < tokens[:, None]
    return latents[valid].std().item()


@torch.inference_mode()
def _render_reconstruction(vae, batches: WindowSampler, path: Path):
    batch = batches(1, torch.Generator(batches.starts.device).manual_seed(0))
    made, _ = vae(batch["features"], batch["lengths"])
    length = batch["lengths"][0]
    motions = [
        Motion(features=vae.denormalize(x[0, :length].float()).cpu().numpy(), prompt=title)
        for x, title in ((batch["features"], "recording"), (made, "reconstruction"))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    render_video(motions, path, body="skeleton")
