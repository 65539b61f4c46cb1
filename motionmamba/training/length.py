"""Training of the length predictor: cross-entropy of how long captioned stretches are."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from motionmamba.data import MotionDataset
from motionmamba.data.crops import captioned_stretches
from motionmamba.models import LengthPredictor
from motionmamba.models.common import mean_token
from motionmamba.models.length_predictor import UNIT, median_length
from motionmamba.training.config import save_config
from motionmamba.training.denoiser import build_text_encoder
from motionmamba.training.loop import fit, make_accelerator
from motionmamba.training.text import CaptionEmbeddings, embed_captions

Embed = Callable[[list[str]], CaptionEmbeddings]


def train_length(config: DictConfig, run: Path, resume: bool = False) -> Path:
    """Trains the length predictor that `config` describes; gives the folder that it is saved in.

    How it does on the validation split, as `validate` has it, goes to `validation.json` in `run`.

    Raises:
        ValueError: for settings or data that it cannot be trained with.
    """
    dataset = MotionDataset.load(config.dataset.path)
    encoder = build_text_encoder(config.text_encoder)
    accelerator = make_accelerator(config.train, run)
    device = accelerator.device
    torch.manual_seed(config.train.seed)
    predictor = LengthPredictor(encoder.channels, **config.predictor)
    encoder.to(device)

    def embed(captions: list[str]) -> CaptionEmbeddings:
        with accelerator.main_process_first():
            return embed_captions(encoder, captions, Path(config.cache))

    limit = None if config.keep_longest else config.predictor.max_frames
    train, val = (
        CaptionedLengths(dataset, split, embed, device, config.captions, config.train.seed, limit)
        for split in ("train", "val")
    )

    def compute_losses(model, generator):
        captions, lengths = train.draw(config.train.batch_size, generator)
        logits = model(*as_tokens(captions))
        return {"loss": cross_entropy(logits, predictor.classes(lengths))}

    def show_samples(model, step):
        scores = validate(model, train, val)
        accelerator.log({f"validation/{name}": value for name, value in scores.items()}, step=step)
        tqdm.write(f"step {step}: " + describe(scores))

    save_config(config, run)
    predictor = fit(accelerator, predictor, compute_losses, config.train, run, resume, show_samples)
    folder = run / "length_predictor"
    if accelerator.is_main_process:
        predictor.save_pretrained(folder)
        scores = validate(predictor, train, val)
        (run / "validation.json").write_text(json.dumps(scores, indent=2) + "\n")
    accelerator.wait_for_everyone()
    return folder


class CaptionedLengths:
    """Captions of the stretches of a split, and how long these are.

    Args:
        embed: gives the embeddings of the texts that it is called with.
        device: where everything lives.
        most: captions of a stretch, drawn once and for all where it has more.
        seed: of that draw.
        limit: stretches of so many frames or more are left out. Where recordings are cut into
            windows these are the windows, of which the text does not say how long they are.

    Attributes:
        captions: the mean token (M, C) of each caption of each stretch, which is all that a
            predictor sees of it.
        lengths: frames (M,) of the stretch.
        weights: how much each counts (M,), so that stretches count alike; all add up to one.
        fps: of these frames.
        stretches: how many there are.

    Raises:
        ValueError: when the split has no such captions, or `most` leaves none.
    """

    def __init__(
        self,
        dataset: MotionDataset,
        split: str,
        embed: Embed,
        device,
        most: int,
        seed: int,
        limit: int | None = None,
    ):
        if most < 1:
            raise ValueError(f"captions is {most}, expected 1 or more of each stretch")
        generator = np.random.default_rng(seed)
        stretches = [
            s for s in captioned_stretches(dataset, split) if limit is None or s.length < limit
        ]
        if not stretches:
            raise ValueError(
                f"all captioned motions in the {split} split of {dataset.name} have {limit} frames "
                "or more; set keep_longest=true"
            )
        drawn = [generator.permutation(s.captions)[:most].tolist() for s in stretches]
        used, place = np.unique(np.concatenate(drawn), return_inverse=True)
        text = embed([dataset.captions[index] for index in used])
        counts = torch.tensor([len(captions) for captions in drawn])
        lengths = torch.tensor([s.length for s in stretches])
        self.fps, self.stretches = dataset.fps, len(stretches)
        self.captions = _mean_tokens(text)[torch.from_numpy(place)].to(device)
        self.lengths = lengths.repeat_interleave(counts).to(device)
        weights = 1.0 / (counts.double() * len(counts))
        self.weights = weights.repeat_interleave(counts).to(device)
        self._likely = self.weights.cumsum(0)

    def draw(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Captions (B, C) of random stretches, and their lengths (B,)."""
        chance = torch.rand(batch_size, generator=generator, device=self.weights.device)
        rows = torch.searchsorted(self._likely, chance.double(), right=True)
        rows = rows.clamp(max=len(self.lengths) - 1)
        return self.captions[rows], self.lengths[rows]

    def histogram(self, predictor: LengthPredictor) -> Tensor:
        """How likely each of a predictor's U lengths is here, whatever is said: (U,)."""
        size = predictor.config.max_frames // UNIT
        classes = predictor.classes(self.lengths)
        share = torch.bincount(classes, self.weights, minlength=size)
        # each once more, so that what never happens here is not impossible
        return (share * self.stretches + 1.0) / (self.stretches + size)


def as_tokens(captions: Tensor) -> tuple[Tensor, Tensor]:
    """Texts (B, C) of one token each: tokens (B, 1, C) and their mask (B, 1)."""
    return captions[:, None], captions.new_ones(len(captions), 1, dtype=torch.bool)


@torch.inference_mode()
def validate(
    predictor: LengthPredictor, train: CaptionedLengths, val: CaptionedLengths
) -> dict[str, float]:
    """Cross-entropy in nats and mean absolute error of the median in seconds, on `val`.

    Beside them the same of the lengths of `train` alone, which is what one can say without
    reading the text. What is longer than the longest length counts as that.
    """
    tokens = as_tokens(val.captions)
    classes, histogram = predictor.classes(val.lengths), train.histogram(predictor)
    entropy = cross_entropy(predictor(*tokens), classes, reduction="none")
    asked = val.lengths.clamp(max=predictor.config.max_frames)

    def error(frames: Tensor) -> float:
        return ((frames - asked).abs() * val.weights).sum().item() / val.fps

    return {
        "cross-entropy": (entropy * val.weights).sum().item(),
        "cross-entropy without text": -(histogram[classes].log() * val.weights).sum().item(),
        "seconds": error(predictor.predict(*tokens)),
        "seconds without text": error(median_length(histogram)),
        "captions": len(val.captions),
    }


def describe(scores: dict[str, float]) -> str:
    """One line of what `validate` found, beside what is known without the text."""
    return (
        f"cross-entropy {scores['cross-entropy']:.3f} "
        f"({scores['cross-entropy without text']:.3f} without the text), "
        f"off by {scores['seconds']:.2f} s ({scores['seconds without text']:.2f} s), "
        f"{scores['captions']} captions of the validation split"
    )


def _mean_tokens(text: CaptionEmbeddings, batch_size: int = 4096) -> Tensor:
    """Mean tokens (N, C), float32, of N embedded captions."""
    index = torch.arange(len(text)).split(batch_size)
    embeddings = (text.padded(rows) for rows in index)
    return torch.cat([mean_token(e.tokens.float(), e.mask) for e in embeddings])
