"""Text to motion: a diffusers pipeline of text encoder, denoiser, scheduler and motion VAE."""

import inspect
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from huggingface_hub import snapshot_download

from motionmamba.models import (
    LengthPredictor,
    MotionMambaDenoiser,
    MotionVAE,
    TemporalMotionVAE,
    TransformerDenoiser,
)
from motionmamba.models.captured import CapturedModel
from motionmamba.models.text_encoder import MiniLMTextEncoder, OpenCLIPTextEncoder
from motionmamba.motion.motion import Motion
from motionmamba.motion.skeleton import skeleton_of

# the classes that each part of a saved pipeline may have
PARTS = {
    "vae": (MotionVAE, TemporalMotionVAE),
    "denoiser": (MotionMambaDenoiser, TransformerDenoiser),
    "scheduler": (
        DDIMScheduler,
        DDPMScheduler,
        DPMSolverMultistepScheduler,
        EulerDiscreteScheduler,
        UniPCMultistepScheduler,
    ),
    "text_encoder": (MiniLMTextEncoder, OpenCLIPTextEncoder),
    "length_predictor": (LengthPredictor,),
}
OPTIONAL_PARTS = ["length_predictor"]  # that a saved pipeline may lack
EMBEDDED_MODEL = Path(__file__).parent / "assets" / "open"
MIN_FRAMES = 4
DEFAULT_SECONDS = 6.0  # without a length predictor
SHORTEST_PREDICTED = 2.0  # seconds, as HumanML3D's shortest; parts of recordings may be shorter


@dataclass
class MotionMambaPipelineOutput(BaseOutput):
    """`motions`: one `Motion` for each prompt."""

    motions: list[Motion]


class MotionMambaPipeline(DiffusionPipeline):
    """Generates motion from text by latent diffusion with classifier-free guidance.

    Follows MLD (Chen et al. 2023) and Motion Mamba (Zhang et al. 2024): latents of a motion VAE
    are denoised under a frozen text encoder's tokens, then decoded to features of HumanML3D or, if
    the VAE has 251 of them, KIT-ML.

    Args:
        vae: `MotionVAE` or `TemporalMotionVAE`; holds the feature statistics.
        denoiser: `MotionMambaDenoiser` or `TransformerDenoiser`.
        scheduler: any diffusers scheduler with an ε-, v- or sample-prediction.
        text_encoder: a `motionmamba.models.text_encoder.TextEncoder`.
        length_predictor: a `LengthPredictor`, trained on this text encoder and on motions of the
            VAE's frame rate, for calls that name no length.
        guidance_scale, num_inference_steps: what this checkpoint uses when a call names none.
    """

    model_cpu_offload_seq = "text_encoder->length_predictor->denoiser->vae"
    _optional_components = OPTIONAL_PARTS

    def __init__(
        self,
        vae,
        denoiser,
        scheduler,
        text_encoder,
        guidance_scale: float = 7.5,
        num_inference_steps: int = 50,
        length_predictor=None,
    ):
        super().__init__()
        self.register_modules(
            vae=vae,
            denoiser=denoiser,
            scheduler=scheduler,
            text_encoder=text_encoder,
            length_predictor=length_predictor,
        )
        self.register_to_config(
            guidance_scale=guidance_scale, num_inference_steps=num_inference_steps
        )
        self._captured = CapturedModel(denoiser)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path | None = None,
        torch_dtype: torch.dtype = torch.float32,
        **hub_options,
    ) -> "MotionMambaPipeline":
        """Loads a pipeline from a folder or a Hub id; without one, the model shipped here.

        Only classes of motionmamba and diffusers' schedulers are ever built from what a folder
        names.

        Args:
            torch_dtype: of VAE and denoiser; float16 files are widened by default. A length
                predictor is float32.
            hub_options: for `huggingface_hub.snapshot_download`, such as `revision`.

        Raises:
            ValueError: when the folder is missing, incomplete, truncated or of another kind.
        """
        folder = _local_folder(pretrained_model_name_or_path or EMBEDDED_MODEL, hub_options)
        index = _read_index(folder, cls.__name__)
        options = {k: index[k] for k in ("guidance_scale", "num_inference_steps") if k in index}
        parts = {name: _load_part(folder, name, index, torch_dtype) for name in PARTS}
        return cls(**parts, **options)

    @property
    def fps(self) -> float:
        """Frames per second of the motions: 20, or 12.5 of a model trained on KIT-ML."""
        return skeleton_of(self.vae.config.num_features).fps

    @property
    def max_seconds(self) -> float:
        """The longest motion this model makes, in seconds."""
        return self.vae.config.max_frames / self.fps

    @torch.inference_mode()
    def __call__(
        self,
        prompt: str | Sequence[str],
        seconds: float | Sequence[float] | None = None,
        num_frames: int | Sequence[int] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
    ) -> MotionMambaPipelineOutput:
        """Generates one motion for each prompt.

        Args:
            prompt: a sentence, or B of them.
            seconds: length in seconds, one for all or one for each prompt. With neither this nor
                `num_frames`, each prompt takes as long as the length predictor says, and 6 seconds
                in a pipeline that has none.
            num_frames: length in frames at 20 fps, instead of `seconds`.
            num_inference_steps, guidance_scale: the checkpoint's own by default.
            generator: source of all noise; a list gives each prompt its own.
            latents: initial noise (B, L, C) instead of drawing it.

        Raises:
            ValueError: for blank text or a length, step count or guidance out of range.
        """
        prompts = _check_prompts(prompt)
        lengths = self._frame_counts(prompts, seconds, num_frames)
        steps = _or_default(num_inference_steps, self.config.num_inference_steps)
        scale = _or_default(guidance_scale, self.config.guidance_scale)
        _check_sampling(steps, scale)
        latents = self._denoise(prompts, lengths, steps, scale, generator, latents)
        features = self._decode(latents, lengths)
        motions = [
            Motion(features=f[:n], prompt=p)
            for f, n, p in zip(features, lengths.tolist(), prompts, strict=True)
        ]
        self.maybe_free_model_hooks()
        return MotionMambaPipelineOutput(motions=motions)

    def _frame_counts(self, prompts: list[str], seconds, num_frames) -> torch.Tensor:
        if seconds is not None and num_frames is not None:
            raise ValueError("seconds and num_frames were both given; give one of them")
        if num_frames is not None:
            counts = _as_list(num_frames, len(prompts), "num_frames")
        elif seconds is None and self.length_predictor is not None:
            return self._predicted_frames(prompts)
        else:
            values = _as_list(_or_default(seconds, DEFAULT_SECONDS), len(prompts), "seconds")
            counts = [self._frames_of(s) for s in values]
        limit = self.vae.config.max_frames
        for count in counts:
            if not MIN_FRAMES <= count <= limit:
                raise ValueError(
                    f"the motion would have {count} frames, this model makes {MIN_FRAMES} to "
                    f"{limit} (up to {self.max_seconds:g} seconds); give another length"
                )
        return torch.tensor(counts, device=self._execution_device)

    def _predicted_frames(self, prompts: list[str]) -> torch.Tensor:
        frames = self.length_predictor.predict(*self.text_encoder.encode(prompts))
        shortest = round(SHORTEST_PREDICTED * self.fps)
        return (
            frames.clamp(min=shortest)
            .clamp(max=self.vae.config.max_frames)
            .to(self._execution_device)
        )

    def _frames_of(self, seconds: float) -> int:
        shortest = MIN_FRAMES / self.fps
        if not (math.isfinite(seconds) and shortest <= seconds <= self.max_seconds):
            raise ValueError(
                f"seconds is {seconds:g}, this model makes motions of {shortest:g} to "
                f"{self.max_seconds:g} seconds; give a length in that range"
            )
        return round(seconds * self.fps)

    def _denoise(self, prompts, lengths, steps, scale, generator, latents) -> torch.Tensor:
        device = self._execution_device
        self.scheduler.set_timesteps(steps, device=device)
        tokens = self.vae.latent_lengths(lengths)
        shape = (len(prompts), int(tokens.max()), self.vae.config.latent_channels)
        if latents is None:
            latents = randn_tensor(shape, generator, device, self.denoiser.dtype)
            latents = latents * self.scheduler.init_noise_sigma
        elif tuple(latents.shape) != shape:
            raise ValueError(f"latents have the shape {tuple(latents.shape)}, expected {shape}")
        guided = scale != 1.0
        # each sentence alone, so that a motion does not depend on its neighbours in the batch
        embedding = self.text_encoder.encode([*prompts, ""] if guided else prompts)
        states, mask = embedding.tokens.to(self.denoiser.dtype), embedding.mask
        if guided:
            tokens = tokens.repeat(2)
            # after the prompts, as often as there are any
            rows = torch.arange(len(tokens), device=mask.device).clamp(max=len(prompts))
            states, mask = states[rows], mask[rows]
        extra = _step_arguments(self.scheduler, generator)
        if self._captured.model is not self.denoiser:
            self._captured = CapturedModel(self.denoiser)
        for timestep in self.progress_bar(self.scheduler.timesteps):
            sample = torch.cat([latents] * 2) if guided else latents
            sample = self.scheduler.scale_model_input(sample, timestep)
            output = self._captured(
                sample,
                timestep.expand(len(sample)),
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                lengths=tokens,
            )
            if guided:
                conditional, unconditional = output.chunk(2)
                output = unconditional + scale * (conditional - unconditional)
            latents = self.scheduler.step(output, timestep, latents, **extra).prev_sample
        return latents

    def _decode(self, latents: torch.Tensor, lengths: torch.Tensor):
        latents = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        features = self.vae.denormalize(self.vae.decode(latents, lengths))
        return features.float().cpu().numpy()


def _check_prompts(prompt) -> list[str]:
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ValueError("no prompt was given; give a sentence such as 'a person walks forward'")
    for text in prompts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"the prompt is {text!r}; give a sentence such as 'a person walks forward'"
            )
    return prompts


def _check_sampling(steps: int, scale: float):
    if not 1 <= steps <= 1000:
        raise ValueError(f"num_inference_steps is {steps}, expected 1 to 1000")
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"guidance_scale is {scale}, expected a finite number of at least 0")


def _local_folder(name: str | Path, hub_options: dict) -> Path:
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(str(name), **hub_options))
    except Exception as error:  # the Hub's own, those of its HTTP client and of the network
        raise ValueError(
            f"there is no folder {name}, and it cannot be fetched from the Hub either: "
            f"{_first_line(error)}"
        ) from error


def _read_index(folder: Path, class_name: str) -> dict:
    try:
        index = json.loads((folder / "model_index.json").read_text())
        found = index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} holds no readable model_index.json, so it is no motion pipeline; give a "
            "folder written by save_pretrained"
        ) from error
    if found != class_name:
        raise ValueError(f"{folder} holds a {found}, expected a {class_name}")
    return index


def _load_part(folder: Path, name: str, index: dict, dtype: torch.dtype):
    class_name = (index.get(name) or [None, None])[1]
    if class_name is None and name in OPTIONAL_PARTS:
        return None
    part = next((c for c in PARTS[name] if c.__name__ == class_name), None)
    if part is None:
        raise ValueError(f"{folder} names {class_name} as its {name}, which is none known here")
    if not (folder / name).is_dir():
        raise ValueError(f"{folder} has no folder {name}; copy the whole pipeline again")
    if name in ("scheduler", "text_encoder"):
        return part.from_pretrained(folder / name)
    # in half precision a length close to a median might be another than was trained
    return load_model(part, folder / name, torch.float32 if name == "length_predictor" else dtype)


def usable_device(name: str | None = None) -> str:
    """That device, or without a name the best there is.

    Raises:
        ValueError: when it cannot be used here.
    """
    if name is None:
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} cannot be used here; try --device cpu") from error
    return name


def load_model(kind: type, folder: Path, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A model of this class, from the folder that its `save_pretrained` wrote, for inference.

    Raises:
        ValueError: when the folder is incomplete, truncated or of another kind.
    """
    try:
        model, report = kind.from_pretrained(folder, torch_dtype=dtype, output_loading_info=True)
    except Exception as error:  # diffusers, safetensors and torch each have their own
        raise ValueError(f"cannot load {folder}: {_first_line(error)}") from error
    unmatched = report["missing_keys"] or report["unexpected_keys"]
    if unmatched:
        raise ValueError(
            f"the weights in {folder} are not those of its config.json, which differ at "
            f"{unmatched[0]}; copy the whole folder again"
        )
    return model.eval()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _as_list(value, batch: int, name: str) -> list:
    if isinstance(value, Sequence):
        if len(value) != batch:
            raise ValueError(f"{len(value)} values of {name} for {batch} prompts; give one each")
        return list(value)
    return [value] * batch


def _or_default(value, default):
    return default if value is None else value


def _step_arguments(scheduler, generator) -> dict:
    takes = inspect.signature(scheduler.step).parameters
    return {"generator": generator} if "generator" in takes else {}
