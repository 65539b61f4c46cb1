"""Self-distillation: a denoiser that learns from the predictions of a trained one as well."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import ConfigMixin, DDPMScheduler
from omegaconf import DictConfig
from torch import nn

from motionmamba.models import MotionMambaDenoiser, TransformerDenoiser
from motionmamba.models.autoencoder import MotionAutoencoder
from motionmamba.models.text_encoder import TextEncoder

DENOISERS = {c.__name__: c for c in (MotionMambaDenoiser, TransformerDenoiser)}
NOISE = "prediction_type", "num_train_timesteps", "beta_schedule", "beta_start", "beta_end"
# what the other parts of a teacher's pipeline have in common with this run's; a scaling factor is
# measured once a VAE is trained, and hardly any two have the same
SHARED = {
    "scheduler": NOISE,
    "vae": ("_class_name", "latent_channels", "scaling_factor"),
    "text_encoder": ("_class_name", "model", "pooling"),
}


class Teacher:
    """A frozen denoiser, called as any other, that another one learns from.

    Args:
        weight: share of its predictions in what is learned from; the rest is the truth's.
        autocast: what the other denoiser runs under, such as `Accelerator.autocast`.

    Raises:
        ValueError: when `weight` is no share.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        weight: float = 0.5,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ):
        if not 0 <= weight <= 1:
            raise ValueError(
                f"train.teacher_weight is {weight}, expected a share from 0, the truth alone, to "
                "1, the teacher alone"
            )
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.weight, self.autocast = weight, autocast

    @torch.no_grad()
    def __call__(self, noisy: torch.Tensor, timesteps: torch.Tensor, **conditions) -> torch.Tensor:
        """What it predicts, float32 (B, L, C), of noisy latents (B, L, C) at timesteps (B,)."""
        with self.autocast():
            return self.denoiser(noisy, timesteps, **conditions).float()


def load_teacher(
    train: DictConfig,
    vae: MotionAutoencoder,
    schedule: DDPMScheduler,
    encoder: TextEncoder,
    accelerator: Accelerator,
) -> Teacher | None:
    """The teacher that `train.teacher` names, on the accelerator's device; None without one.

    Args:
        train: `teacher`, the folder of a pipeline or of a denoiser, and `teacher_weight`.
        vae, schedule, encoder: of this run. Of a lone denoiser no more can be told than whether
            it takes latents and texts of their shapes.

    Raises:
        ValueError: when there is no denoiser, or one of other latents, texts or noise.
    """
    if train.teacher is None:
        return None
    folder = _denoiser_folder(Path(str(train.teacher)))
    if folder.name == "denoiser":
        parts = {"scheduler": schedule, "vae": vae, "text_encoder": encoder}
        for name, part in parts.items():
            _check_part(folder.parent, name, part)
    denoiser = _load(folder)
    _check_shapes(folder, denoiser, vae, encoder)
    # not prepared by the accelerator, which would write it into every checkpoint
    return Teacher(denoiser.to(accelerator.device), train.teacher_weight, accelerator.autocast)


def _denoiser_folder(path: Path) -> Path:
    for folder in (path / "denoiser", path):
        if _settings(folder / "config.json").get("_class_name") in DENOISERS:
            return folder
    raise ValueError(
        f"{path} holds no trained denoiser; set train.teacher to the folder of a pipeline or of "
        "a denoiser, or to null"
    )


def _settings(path: Path) -> dict:
    """What a configuration file says; nothing if there is none."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"the teacher's {path} is no readable configuration: {error}") from error


def _check_part(pipeline: Path, name: str, part: ConfigMixin):
    """Refuses a teacher whose pipeline has another `part`, as far as its configuration tells."""
    theirs = _settings(pipeline / name / part.config_name)
    ours = dict(part.config) | {"_class_name": type(part).__name__}
    for key in SHARED[name]:
        if key in theirs and key in ours and theirs[key] != ours[key]:
            raise ValueError(
                f"the teacher in {pipeline} was trained with {key}={theirs[key]} of its {name}, "
                f"this run has {key}={ours[key]}; choose a teacher with the same {name}"
            )


def _load(folder: Path) -> nn.Module:
    denoiser_class = DENOISERS[_settings(folder / "config.json")["_class_name"]]
    try:
        denoiser, report = denoiser_class.from_pretrained(
            folder, torch_dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # diffusers, safetensors and torch each have their own
        reason = str(error).strip().partition("\n")[0][:300]
        raise ValueError(f"cannot load the teacher in {folder}: {reason}") from error
    if unmatched := report["missing_keys"] or report["unexpected_keys"]:
        raise ValueError(
            f"the teacher's weights in {folder} are not those of its config.json, which differ at "
            f"{unmatched[0]}; copy the whole folder again"
        )
    return denoiser


def _check_shapes(folder: Path, denoiser: nn.Module, vae: MotionAutoencoder, encoder: TextEncoder):
    tokens = int(vae.latent_lengths(torch.tensor([vae.config.max_frames])))
    config = denoiser.config
    has = {
        "latents of {} channels": (config.latent_channels, vae.config.latent_channels),
        "texts of {} channels": (config.text_channels, encoder.channels),
        # longer ones than this run's do no harm
        "up to {} latent tokens": (min(config.max_tokens, tokens), tokens),
    }
    for what, (theirs, ours) in has.items():
        if theirs != ours:
            raise ValueError(
                f"the teacher in {folder} takes {what.format(theirs)}, this run has "
                f"{what.format(ours)}; choose a teacher of the same latents and texts"
            )
