"""The protocol of Guo et al. 2022: what is drawn, embedded and measured in each replication.

A replication takes every captioned stretch of a split once: in a new order, a new crop, one of its
captions. Recordings, reconstructions and generated motions are shown with the same captions, crops
and pools of 32, so that rows differ in nothing but their motion. FID is measured against another
pass over the recordings, with crops of its own, as the original does; so recordings are not at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from motionmamba.data import MotionDataset
from motionmamba.data.crops import captioned_stretches, random_crops
from motionmamba.evaluation import metrics, quality
from motionmamba.evaluation.t2m import MAX_FRAMES, T2MEvaluator
from motionmamba.motion.features import features_to_joints
from motionmamba.motion.skeleton import KIT, Skeleton

POOL = 32  # published R-precision holds for pools of this size only
SHORTEST = {KIT.name: 24}  # frames; 40 elsewhere
LONGEST = 199  # frames of a stretch; a crop has up to MAX_FRAMES
RANKS = (1, 3, 10)
BATCH = 128  # motions that are embedded or decoded at once

Motions = list[np.ndarray]


@dataclass(frozen=True)
class Protocol:
    """What a result depends on besides model, data and evaluator.

    Attributes:
        split: of the data set.
        replications: how often everything is drawn anew.
        seed: of all draws, and of the noise that motions are generated from.
        diversity_pairs: pairs of motions for Diversity; fewer in a smaller split.
        texts, samples, pairs: of MModality; with 0 texts it is not measured.
    """

    split: str = "test"
    replications: int = 20
    seed: int = 0
    diversity_pairs: int = 300
    texts: int = 100
    samples: int = 30
    pairs: int = 10

    def random(self, replication: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, replication, purpose))


@dataclass(frozen=True)
class Told:
    """Motions with a caption each: features (T, F), not normalised, texts and their tokens."""

    motions: Motions
    captions: list[str]
    tokens: list[str]

    def __len__(self) -> int:
        return len(self.motions)

    def take(self, items: Sequence[int]) -> Told:
        return Told(*([values[i] for i in items] for values in vars(self).values()))


Make = Callable[[Told, np.random.Generator], Motions]


class Recordings:
    """The stretches of a split that the protocol takes: captioned, of the right length, finite.

    Attributes:
        shortest: frames of the shortest stretch that is taken.
        left_out: how many stretches are not taken, by reason.
    """

    def __init__(self, dataset: MotionDataset, split: str):
        clips = dataset.split(split)
        stretches = captioned_stretches(dataset, split)
        self.dataset = dataset
        self._features, starts = dataset.expand(clips)
        first = [int(starts[s.clip]) + s.start for s in stretches]
        self.shortest = shortest = SHORTEST.get(dataset.skeleton.name, 40)
        # two test clips of HumanML3D hold NaN, and one of them would spoil every average
        broken = ~self._features.isfinite().all(-1)
        flaws = [
            _flaw(s.length, shortest, bool(broken[row : row + s.length].any()))
            for s, row in zip(stretches, first, strict=True)
        ]
        kept = [i for i, flaw in enumerate(flaws) if not flaw]
        self.left_out = {flaw: flaws.count(flaw) for flaw in sorted(set(flaws)) if flaw}
        self._starts = torch.tensor([first[i] for i in kept])
        self.lengths = torch.tensor([stretches[i].length for i in kept])
        self._captions = [stretches[i].captions for i in kept]

    def __len__(self) -> int:
        return len(self.lengths)

    def draw(self, random: np.random.Generator) -> Told:
        """A crop and a caption of each stretch, in random order, as many as fill pools."""
        order = random.permutation(len(self))[: len(self) // POOL * POOL]
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        offsets, lengths = random_crops(self.lengths[order], MAX_FRAMES, generator)
        first = self._starts[order] + offsets
        motions = [
            self._features[row : row + length].numpy()
            for row, length in zip(first.tolist(), lengths.tolist(), strict=True)
        ]
        chosen = [random.choice(self._captions[i]) for i in order]
        texts, tokens = self.dataset.captions, self.dataset.tokens
        return Told(motions, [texts[i] for i in chosen], [tokens[i] for i in chosen])

    def whole(self) -> Motions:
        """Every stretch from its first frame."""
        ends = self._starts + self.lengths.clamp(max=MAX_FRAMES)
        pairs = zip(self._starts.tolist(), ends.tolist(), strict=True)
        return [self._features[row:end].numpy() for row, end in pairs]


def _flaw(length: int, shortest: int, is_broken: bool) -> str:
    if length < shortest:
        return f"shorter than {shortest} frames"
    if length > LONGEST:
        return f"longer than {LONGEST} frames"
    return "NaN or infinity" if is_broken else ""


class Evaluation:
    """Measures rows of motions over a split, a replication at a time.

    Args:
        dataset: the packed data set.
        evaluator: embeds motions and captions; all is computed on its device.
        protocol: what is drawn.
        rows: what is measured beside the recordings, by name: gives as many motions as it is told
            of, (T, F), not normalised, of the same lengths.
        sampled: the row whose motions are drawn anew for MModality.

    Raises:
        ValueError: when the evaluator is for other features, or the split is smaller than a pool.
    """

    def __init__(
        self,
        dataset: MotionDataset,
        evaluator: T2MEvaluator,
        protocol: Protocol,
        rows: dict[str, Make],
        sampled: str | None = None,
    ):
        expected, size = evaluator.config.num_features, dataset.skeleton.num_features
        if size != expected:
            raise ValueError(
                f"the evaluator embeds {expected} features, {dataset.name} has {size}; give the "
                "evaluator that was trained on such features"
            )
        self.recordings = Recordings(dataset, protocol.split)
        if len(self.recordings) < POOL:
            raise ValueError(
                f"the {protocol.split} split of {dataset.name} has {len(self.recordings)} "
                f"captioned stretches of {self.recordings.shortest} to {LONGEST} frames, a pool "
                f"needs {POOL}"
            )
        self.evaluator, self.protocol = evaluator, protocol
        self.sampled = sampled
        self.dataset, self._rows = dataset, rows

    @property
    def motions_sampled(self) -> int:
        """Motions of the sampled row that a replication asks for."""
        if not self.sampled:
            return 0
        pairs = len(self.recordings) // POOL * POOL
        return pairs + min(self.protocol.texts, pairs) * self.protocol.samples

    def replicate(self, replication: int) -> dict[str, dict[str, float]]:
        """The metrics of every row, `real` first; a replication's numbers depend on no other."""
        protocol = self.protocol
        told, again = (self.recordings.draw(protocol.random(replication, i)) for i in (0, 1))
        text = embed_texts(self.evaluator, told.tokens)
        reference = embed_motions(self.evaluator, again.motions)
        made = {"real": told.motions}
        for number, (name, make) in enumerate(self._rows.items()):
            made[name] = make(told, protocol.random(replication, 2 + number))
            _check_lengths(name, made[name], told)
        directions = [_direction(caption) for caption in told.captions]
        real = _joints(told.motions, self.dataset.skeleton)
        scores = {}
        for name, motions in made.items():
            motion = embed_motions(self.evaluator, motions)
            scores[name] = self._score(text, motion, reference, replication)
            joints = real if name == "real" else _joints(motions, self.dataset.skeleton)
            scores[name] |= _describe(joints, real, directions, self.dataset.fps)
        if self.sampled and protocol.texts:
            scores[self.sampled]["MModality"] = self._multimodality(told, replication)
        return scores

    def _score(self, text, motion, reference, replication: int) -> dict[str, float]:
        protocol = self.protocol
        pairs = min(protocol.diversity_pairs, len(motion))
        # every row draws the same pairs
        random = protocol.random(replication, 100)
        precision = metrics.r_precision(text, motion, top_k=3, pool_size=POOL)
        to_motion, to_text = (
            metrics.retrieval(*x, RANKS) for x in ((text, motion), (motion, text))
        )
        return (
            {f"R@{k}": float(value) for k, value in enumerate(precision, 1)}
            | {
                "FID": metrics.frechet_distance(reference, motion),
                "MM-Dist": metrics.matching_score(text, motion),
                "Diversity": metrics.diversity(motion, pairs, generator=random),
                "Nearest training clip": float(
                    quality.nearest_distance(motion, self._training).mean()
                ),
            }
            | {f"Text to motion R@{k}": float(v) for k, v in zip(RANKS, to_motion, strict=True)}
            | {f"Motion to text R@{k}": float(v) for k, v in zip(RANKS, to_text, strict=True)}
        )

    @cached_property
    def _training(self) -> np.ndarray:
        """Embeddings of the training split: is a motion one of them?"""
        return embed_motions(self.evaluator, Recordings(self.dataset, "train").whole())

    def _multimodality(self, told: Told, replication: int) -> float:
        protocol = self.protocol
        random = protocol.random(replication, 101)
        texts = random.choice(len(told), min(protocol.texts, len(told)), replace=False)
        repeated = told.take(np.repeat(texts, protocol.samples).tolist())
        motions = self._rows[self.sampled](repeated, random)
        motion = embed_motions(self.evaluator, motions)
        motion = motion.reshape(len(texts), protocol.samples, -1)
        return metrics.multimodality(motion, protocol.pairs, generator=random)


@torch.inference_mode()
def embed_motions(evaluator: T2MEvaluator, motions: Motions) -> np.ndarray:
    """Embeddings (N, D) float32 of features (T, F), not normalised, in their order."""
    embeddings = [None] * len(motions)
    for items, features, lengths in _batches(motions, evaluator.device):
        rows = evaluator.encode_motion(features, lengths).float().cpu().numpy()
        for item, row in zip(items, rows, strict=True):
            embeddings[item] = row
    return np.stack(embeddings)


@torch.inference_mode()
def embed_texts(evaluator: T2MEvaluator, tokens: Sequence[str]) -> np.ndarray:
    """Embeddings (N, D) float32 of captions as tokens, in their order."""
    parts = [tokens[i : i + BATCH] for i in range(0, len(tokens), BATCH)]
    return np.concatenate([evaluator.encode_text(p).float().cpu().numpy() for p in parts])


@torch.inference_mode()
def reconstruct(vae, motions: Motions) -> Motions:
    """What a VAE makes of motions by way of the means of their posteriors."""
    made: Motions = [None] * len(motions)
    for items, features, lengths in _batches(motions, vae.device):
        normalized = vae.normalize(features).to(vae.dtype)
        latents = vae.encode(normalized, lengths).mean.to(vae.dtype)
        rows = vae.denormalize(vae.decode(latents, lengths).float()).cpu().numpy()
        for item, row in zip(items, rows, strict=True):
            made[item] = row[: len(motions[item])]
    return made


def generate(pipeline, told: Told, random: np.random.Generator, batch_size: int, step) -> Motions:
    """Motions of the told captions and lengths by a `MotionMambaPipeline`.

    A motion depends on the seed and on `batch_size`, not on the device.

    Args:
        step: called with the number of motions after each batch.
    """
    made: Motions = [None] * len(told)
    for items in _by_length(told.motions, batch_size):
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        motions = pipeline(
            [told.captions[i] for i in items],
            num_frames=[len(told.motions[i]) for i in items],
            generator=generator,
        ).motions
        for item, motion in zip(items, motions, strict=True):
            made[item] = motion.features
        step(len(items))
    return made


def _check_lengths(row: str, motions: Motions, told: Told):
    """FID grows as samples get fewer, and other lengths are other motions."""
    found, expected = ([len(m) for m in x] for x in (motions, told.motions))
    if found != expected:
        raise ValueError(
            f"{row} gave {len(found)} motions of {sum(found)} frames for {len(expected)} captions "
            f"of {sum(expected)} frames; it must give each the length that it is told"
        )


_direction = cache(quality.stated_direction)


def _joints(motions: Motions, skeleton: Skeleton) -> Motions:
    """Joints (T, J, 3) in metres."""
    joints: Motions = [None] * len(motions)
    for items, features, _ in _batches(motions, "cpu"):
        rows = (features_to_joints(features, skeleton.name) * skeleton.unit).numpy()
        for item, row in zip(items, rows, strict=True):
            joints[item] = row[: len(motions[item])]
    return joints


def _describe(joints: Motions, real: Motions, directions: Sequence, fps: float) -> dict[str, float]:
    """What can be measured on joints, the mean over motions."""
    found = {
        "Foot skate": np.mean([quality.foot_skate_ratio(j, fps) for j in joints]),
        "Jerk": np.mean([quality.mean_jerk(j, fps) for j in joints]),
    }
    directed = [i for i, direction in enumerate(directions) if direction is not None]
    if directed:
        errors = [quality.direction_error(joints[i], directions[i], fps) for i in directed]
        found["Direction error"] = np.mean(errors)
        if joints is not real:
            found["Path error"] = np.mean(
                [quality.path_error(joints[i], real[i]) for i in directed]
            )
    return {name: float(value) for name, value in found.items()}


def _by_length(motions: Motions, batch_size: int) -> Iterator[list[int]]:
    """Indices of motions in batches of about one length, in which little is padding."""
    order = sorted(range(len(motions)), key=lambda i: len(motions[i]))
    for i in range(0, len(order), batch_size):
        yield order[i : i + batch_size]


def _batches(motions: Motions, device) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    for items in _by_length(motions, BATCH):
        rows = [torch.from_numpy(np.ascontiguousarray(motions[i])) for i in items]
        lengths = torch.tensor([len(row) for row in rows])
        yield items, pad_sequence(rows, batch_first=True).to(device), lengths.to(device)
