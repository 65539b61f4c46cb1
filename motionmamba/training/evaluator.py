"""Training of the text-to-motion evaluator, after Guo et al. 2022 (EricGuo5513/text-to-motion).

First an autoencoder learns movements, snippets of 4 frames; then, with its encoder frozen, captions
and motions are brought together in one space. These losses, margin and data are the original's. Not
the original's is that disturbed motions are kept from their captions (`disturbing`): its evaluator
hardly sees noise as large as what it measures, and frames in random order pass for motion. Nor is
the loop: the original trains with plain Adam, clips the gradients of each network by itself, and
keeps the weights of the lowest validation loss. Here the rate of learning is warmed up and decays,
gradients of both networks are clipped together, and the averaged weights of the last step are kept.
"""

import hashlib
import json
import os
import uuid
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import l1_loss, pairwise_distance
from tqdm.auto import tqdm

from motionmamba.data import MotionDataset
from motionmamba.data.crops import captioned_stretches
from motionmamba.data.packed import feature_blocks
from motionmamba.evaluation.metrics import matching_score, r_precision
from motionmamba.evaluation.protocol import (
    LONGEST,
    POOL,
    Recordings,
    embed_motions,
    embed_texts,
)
from motionmamba.evaluation.t2m import (
    FRAMES_PER_MOVEMENT,
    MAX_FRAMES,
    NUM_CONTACTS,
    MovementEncoder,
    SequenceEncoder,
    T2MEvaluator,
    TextEncoder,
)
from motionmamba.evaluation.word_vectors import MINILM_SIZE, WordVectorizer, with_specials
from motionmamba.training.batches import WindowSampler
from motionmamba.training.checkpoints import has_checkpoint
from motionmamba.training.config import save_config
from motionmamba.training.disturbing import KINDS, disturb
from motionmamba.training.loop import Losses, fit, make_accelerator

MARGIN = 10.0  # distance from which on motions of other captions are far enough
DISTURBED = 5.0  # how much farther from its caption than its original a wholly disturbed motion is
SPARSITY = SMOOTHNESS = 1e-3  # weights of the autoencoder's losses on latents


def train_evaluator(config: DictConfig, run: Path, resume: bool = False) -> Path:
    """Trains the evaluator that `config` describes; gives the folder that it is saved in.

    How it does on the validation split, as `validate` has it, goes to `validation.json` in `run`.

    Raises:
        ValueError: for settings or data that it cannot be trained with.
    """
    movement, matching = (_stage(config.train, name) for name in ("movement", "matching"))
    dataset = MotionDataset.load(config.dataset.path)
    recordings = Recordings(dataset, "val")
    if len(recordings) < POOL:
        raise ValueError(
            f"the val split of {dataset.name} has {len(recordings)} captioned stretches of "
            f"{recordings.shortest} to {LONGEST} frames, a pool needs {POOL}; choose a larger set"
        )
    _check(movement, matching, recordings.shortest)
    accelerator = make_accelerator(config.train, run)
    with accelerator.main_process_first():
        words = _words(config, dataset)
    torch.manual_seed(config.train.seed)
    evaluator = build_evaluator(config, dataset, words)
    motions = CaptionedMotions(dataset, "train", evaluator, recordings.shortest, accelerator.device)
    save_config(config, run)
    train_movement_autoencoder(evaluator, motions, movement, run / "movement", resume)
    train_matching(evaluator, motions, matching, run / "matching", resume, recordings)
    folder = run / "evaluator"
    if accelerator.is_main_process:
        evaluator.save_half(folder)
        scores = validate(evaluator, recordings)
        (run / "validation.json").write_text(json.dumps(scores, indent=2) + "\n")
    accelerator.wait_for_everyone()
    return folder


def build_evaluator(
    config: DictConfig, dataset: MotionDataset, words: WordVectorizer
) -> T2MEvaluator:
    """An untrained evaluator with the word vectors and the statistics of the training split.

    Deviations of root and contacts are divided by `root_bias`, so that the movement encoder sees
    these features enlarged. The published evaluators have 25: the original divides by 5, once for
    each of the two data sets that it builds on one array. Without it, scores are others'.
    """
    sizes = OmegaConf.to_container(config.evaluator, resolve=True)
    try:
        evaluator = T2MEvaluator(
            dataset.skeleton.num_features,
            words.vocabulary,
            word_size=words.vectors.shape[1],
            trained_on=dataset.name,
            **sizes,
        )
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"cannot build an evaluator of {sizes}: {error}") from error
    if not config.root_bias > 0:
        raise ValueError(f"root_bias is {config.root_bias}, expected more than 0; 25 as published")
    _, _, _, root_end, *_, contacts, _ = feature_blocks(dataset.skeleton)
    evaluator.mean.copy_(torch.from_numpy(dataset.mean))
    evaluator.std.copy_(torch.from_numpy(dataset.std))
    evaluator.std[:root_end] /= config.root_bias
    evaluator.std[contacts:] /= config.root_bias
    evaluator.words.load_state_dict(words.state_dict())
    return evaluator


class CaptionedMotions(WindowSampler):
    """Draws stretches of motion that the protocol takes, and one of their captions.

    Args:
        dataset, split: the packed data set and which of its clips.
        evaluator: whose statistics and words are used.
        shortest: frames of the shortest stretch; the longest has 199.
        device: where everything lives.

    Raises:
        ValueError: when there is no such stretch.
    """

    def __init__(
        self, dataset: MotionDataset, split: str, evaluator: T2MEvaluator, shortest: int, device
    ):
        stretches = [
            stretch
            for stretch in captioned_stretches(dataset, split)
            if shortest <= stretch.length <= LONGEST
        ]
        if not stretches:
            raise ValueError(
                f"the {split} split of {dataset.name} has no captioned stretches of {shortest} to "
                f"{LONGEST} frames, which an evaluator is trained on"
            )
        super().__init__(
            *(dataset, split, evaluator.mean, evaluator.std, MAX_FRAMES, device),
            stretches=stretches,
        )
        # of recordings, in the evaluator's unit: it sees root and contacts enlarged
        self.deviation = torch.from_numpy(dataset.std).to(evaluator.std) / evaluator.std
        used = sorted({index for s in stretches for index in s.captions})
        place = {index: i for i, index in enumerate(used)}
        index, counts = evaluator.index_text([dataset.tokens[i] for i in used])
        self.words, self.word_counts = index.to(device), counts.to(device)
        captions = [torch.tensor([place[i] for i in s.captions]) for s in stretches]
        self.caption_counts = torch.tensor([len(c) for c in captions], device=device)
        self.captions = nn.utils.rnn.pad_sequence(captions, batch_first=True).to(device)

    def windows(self, batch_size: int, frames: int, generator: torch.Generator) -> Tensor:
        """Normalised features (B, frames, F) from anywhere."""
        items = self.buckets.everything.draw(batch_size, generator)
        chance = torch.rand(batch_size, generator=generator, device=items.device)
        offset = (chance * (self.lengths[items] - frames + 1)).long()
        offset = torch.minimum(offset, self.lengths[items] - frames)
        whole = torch.full_like(items, frames)
        return self.gather(self.starts[items] + offset, whole, frames)["features"]

    def pairs(self, batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Crops with captions: normalised `features` (B, T, F), `lengths` (B,) in frames,
        `words` (B, L, 2), as indices, and `word_counts` (B,).
        """
        everything = self.buckets.everything
        items = everything.draw(batch_size, generator)
        batch = self.crop(items, everything.frames, generator)
        chance = torch.rand(batch_size, generator=generator, device=items.device)
        caption = self.captions[items, (chance * self.caption_counts[items]).long()]
        return batch | {"words": self.words[caption], "word_counts": self.word_counts[caption]}


class MovementDecoder(nn.Module):
    """From movements (B, L, D) to all features (B, 4 L, F), contacts too."""

    def __init__(self, size: int, num_features: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose1d(size, size, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose1d(size, num_features, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(num_features, num_features)

    def forward(self, movements: Tensor) -> Tensor:
        return self.out_net(self.main(movements.transpose(1, 2)).transpose(1, 2))


class MovementAutoencoder(nn.Module):
    """From normalised features (B, T, F) to their reconstruction and movements (B, T / 4, D)."""

    def __init__(self, encoder: MovementEncoder, decoder: MovementDecoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        movements = self.encoder(features[..., :-NUM_CONTACTS])
        return self.decoder(movements), movements


def autoencoder_losses(model: nn.Module, features: Tensor) -> Losses:
    """L1 of the reconstruction, and movements that are small and change little."""
    reconstruction, movements = model(features)
    losses = {
        "reconstruction": l1_loss(reconstruction, features),
        "sparsity": movements.abs().mean(),
        "smoothness": l1_loss(movements[:, 1:], movements[:, :-1]),
    }
    latent = SPARSITY * losses["sparsity"] + SMOOTHNESS * losses["smoothness"]
    return losses | {"loss": losses["reconstruction"] + latent}


def train_movement_autoencoder(
    evaluator: T2MEvaluator,
    motions: CaptionedMotions,
    train: DictConfig,
    run: Path,
    resume: bool = False,
):
    """Trains the evaluator's movement encoder on windows of `train.window` frames."""
    decoder = MovementDecoder(evaluator.config.movement_size, evaluator.config.num_features)
    model = MovementAutoencoder(evaluator.movement_encoder, decoder)

    def compute_losses(model, generator):
        return autoencoder_losses(model, motions.windows(train.batch_size, train.window, generator))

    fit(make_accelerator(train, run), model, compute_losses, train, run, resume)


class Matching(nn.Module):
    """Embeds texts and movements; what is trained of an evaluator once movements are known."""

    def __init__(self, text_encoder: TextEncoder, motion_encoder: SequenceEncoder):
        super().__init__()
        self.text_encoder, self.motion_encoder = text_encoder, motion_encoder

    def forward(
        self,
        words: Tensor,
        classes: Tensor,
        word_counts: Tensor,
        movements: Tensor,
        movement_counts: Tensor,
    ) -> tuple[Tensor, Tensor]:
        text = self.text_encoder(words, classes, word_counts)
        return text, self.motion_encoder(movements, movement_counts)


def draw_shift(
    batch_size: int, generator: torch.Generator, allow_zero: bool = False
) -> torch.Tensor:
    """By how many rows motions are rolled to pair captions with motions of others.

    From 1 to B - 1. The published code draws from 0 to B - 2 (`allow_zero`): once in B - 1 steps it
    pushes every caption away from its own motion.
    """
    first = 0 if allow_zero else 1
    device = generator.device
    return torch.randint(first, first + batch_size - 1, (), generator=generator, device=device)


def matching_losses(text: Tensor, motion: Tensor, shift: Tensor | int) -> Losses:
    """The contrastive loss of Hadsell et al. 2006 on embeddings (B, D) of pairs.

    Squared distances of captions to their motions, and of how much less than `MARGIN` they are
    from those of other rows.
    """
    order = (torch.arange(len(motion), device=motion.device) + shift) % len(motion)
    near, far = pairwise_distance(text, motion), pairwise_distance(text, motion[order])
    losses = {
        "positive": near.square().mean(),
        "negative": (MARGIN - far).clamp(min=0).square().mean(),
    }
    return losses | {"loss": losses["positive"] + losses["negative"]}


def disturbed_loss(text: Tensor, motion: Tensor, disturbed: Tensor, level: Tensor) -> Tensor:
    """Brings a disturbed motion `DISTURBED` times `level` (B,) farther from its caption than its
    original is, and no farther: the squared difference.
    """
    near, far = pairwise_distance(text, motion), pairwise_distance(text, disturbed)
    return (near.detach() + DISTURBED * level - far).square().mean()


def train_matching(
    evaluator: T2MEvaluator,
    motions: CaptionedMotions,
    train: DictConfig,
    run: Path,
    resume: bool = False,
    recordings: Recordings | None = None,
):
    """Trains the evaluator's text and motion encoders; its movement encoder stays as it is.

    Args:
        recordings: what to `validate` on every `train.sample_every` steps.
    """
    accelerator = make_accelerator(train, run)
    evaluator.to(accelerator.device).eval()
    model = Matching(evaluator.text_encoder, evaluator.motion_encoder)
    deviation = motions.deviation.to(accelerator.device)

    def compute_losses(model, generator):
        batch = motions.pairs(train.batch_size, generator)
        movements = batch["lengths"] // FRAMES_PER_MOVEMENT
        # sequences are packed on the host: one wait for lengths, before there is much to wait for
        word_counts, movement_counts = torch.stack([batch["word_counts"], movements]).cpu()
        features = batch["features"]
        if train.disturbed:
            disturbed, level = disturb(
                features, batch["lengths"], train.disturbed, deviation, generator
            )
            features = torch.cat([features, disturbed])
            movement_counts = movement_counts.repeat(2)
        with torch.no_grad():
            encoded = evaluator.encode_movements(features)
        words = evaluator.words.embed(batch["words"])
        text, motion = model(*words, word_counts, encoded, movement_counts)
        motion, *others = motion.split(train.batch_size)
        shift = draw_shift(train.batch_size, generator, train.allow_zero_shift)
        losses = matching_losses(text, motion, shift)
        for other in others:
            losses["disturbed"] = disturbed_loss(text, motion, other, level)
            losses["loss"] = losses["loss"] + losses["disturbed"]
        return losses

    def show_samples(model, step):
        scores = validate(evaluator, recordings)
        accelerator.log({f"validation/{name}": value for name, value in scores.items()}, step=step)
        tqdm.write(f"step {step}: " + describe(scores))

    resume = resume and has_checkpoint(run)  # the first part may have been what was interrupted
    show = show_samples if recordings else None
    fit(accelerator, model, compute_losses, train, run, resume, show, capture=False)


@torch.inference_mode()
def validate(evaluator: T2MEvaluator, recordings: Recordings) -> dict[str, float]:
    """R-precision in pools of 32, MM-Dist and loss, of one caption and crop of each stretch.

    `chance MM-Dist` is that of captions and the motions of others.
    """
    told = recordings.draw(np.random.default_rng(0))
    text = embed_texts(evaluator, told.tokens)
    motion = embed_motions(evaluator, told.motions)
    losses = matching_losses(torch.from_numpy(text), torch.from_numpy(motion), 1)
    precision = r_precision(text, motion, pool_size=POOL)
    return {f"R@{k}": float(value) for k, value in enumerate(precision, 1)} | {
        "MM-Dist": matching_score(text, motion),
        "chance MM-Dist": matching_score(text, np.roll(motion, 1, axis=0)),
        "loss": losses["loss"].item(),
        "pairs": len(told),
    }


def describe(scores: dict[str, float]) -> str:
    """One line of what `validate` found, beside chance."""
    precision = ", ".join(
        f"R@{k} {scores[f'R@{k}']:.3f} (chance {k / POOL:.3f})" for k in (1, 2, 3)
    )
    return (
        f"{precision}, MM-Dist {scores['MM-Dist']:.2f} (chance {scores['chance MM-Dist']:.2f}), "
        f"loss {scores['loss']:.2f}, {scores['pairs']} pairs of the validation split"
    )


def _stage(train: DictConfig, name: str) -> DictConfig:
    """The `train` group of one of the two parts."""
    if name not in train:
        raise ValueError(
            f"the group train has no part {name}; choose train=evaluator or train=evaluator_tiny"
        )
    shared = {key: value for key, value in train.items() if key not in ("movement", "matching")}
    return OmegaConf.merge(shared, train[name])


def _check(movement: DictConfig, matching: DictConfig, shortest: int):
    least = 2 * FRAMES_PER_MOVEMENT  # movements are compared with their neighbours
    if movement.window % FRAMES_PER_MOVEMENT or not least <= movement.window <= shortest:
        raise ValueError(
            f"train.movement.window is {movement.window} frames, expected a multiple of "
            f"{FRAMES_PER_MOVEMENT} from {least} to {shortest}"
        )
    unknown = set(matching.disturbed) - set(KINDS)
    if unknown:
        raise ValueError(
            f"train.matching.disturbed has {', '.join(sorted(map(str, unknown)))}, expected some "
            f"of {', '.join(KINDS)}"
        )
    if matching.batch_size < 2:
        raise ValueError(
            f"train.matching.batch_size is {matching.batch_size}, expected 2 or more: captions are "
            "told apart from the motions of others"
        )


def _words(config: DictConfig, dataset: MotionDataset) -> WordVectorizer:
    """Vectors in `config.glove`, or of all words that captions of the data set have.

    Those are kept in the folder `config.cache`, so that another machine needs no text encoder.
    """
    if config.glove:
        return WordVectorizer.load(config.glove)
    words = (token.rpartition("/")[0] for tokens in dataset.tokens for token in tokens.split())
    vocabulary = with_specials(words)
    name = hashlib.sha256("\n".join(vocabulary).encode()).hexdigest()[:16]
    path = Path(config.cache) / f"minilm-words-{name}.safetensors"
    vectorizer = WordVectorizer(vocabulary, MINILM_SIZE)
    try:
        vectorizer.load_state_dict(load_file(path))
    except (FileNotFoundError, SafetensorError, RuntimeError):
        vectorizer = WordVectorizer.from_minilm(vocabulary)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        save_file(vectorizer.state_dict(), partial)
        os.replace(partial, path)
    return vectorizer
