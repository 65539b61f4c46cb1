"""The text-to-motion evaluator of Guo et al. 2022 (EricGuo5513/text-to-motion).

Texts and motions are embedded in one space, where `motionmamba.evaluation.metrics` measures.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from motionmamba.evaluation.word_vectors import PARTS_OF_SPEECH, WordVectorizer
from motionmamba.models.common import length_mask, weights_sha256
from motionmamba.motion.skeleton import HUMANML3D, KIT

MAX_FRAMES = 196
MAX_WORDS = 20
FRAMES_PER_MOVEMENT = 4
NUM_CONTACTS = 4
NETWORKS = ("movement_encoder", "motion_encoder", "text_encoder")
SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "evaluator"
CONFIG_FILE, WEIGHTS_FILE = "config.json", "diffusion_pytorch_model.safetensors"
# Folders, beside that of the checkpoint, of the model whose statistics the evaluator was trained on
_STATISTICS = {HUMANML3D.num_features: "Comp_v6_KLD01", KIT.num_features: "Comp_v6_KLD005"}


class MovementEncoder(nn.Module):
    """Convolutions from frames (B, T, F) to movements (B, T / 4, D)."""

    def __init__(self, num_features: int, size: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(num_features, size, 4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(size, size, 4, stride=2, padding=1),
            nn.Dropout(0.2),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(size, size)

    def forward(self, frames: Tensor) -> Tensor:
        return self.out_net(self.main(frames.transpose(1, 2)).transpose(1, 2))


class SequenceEncoder(nn.Module):
    """Bidirectional GRU from sequences (B, L, C) of lengths (B,) to embeddings (B, D)."""

    def __init__(self, input_size: int, size: int, embedding_size: int):
        super().__init__()
        self.hidden = nn.Parameter(torch.randn(2, 1, size))
        self.input_emb = nn.Linear(input_size, size)
        self.gru = nn.GRU(size, size, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * size, size),
            nn.LayerNorm(size),
            nn.LeakyReLU(0.2),
            nn.Linear(size, embedding_size),
        )

    def forward(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        hidden = self.hidden.repeat(1, len(sequences), 1)
        # The original needs lengths in descending order and returns embeddings in that order.
        packed = pack_padded_sequence(
            self.input_emb(sequences), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        forward, backward = self.gru(packed, hidden)[1]
        return self.output_net(torch.cat([forward, backward], -1))


class TextEncoder(SequenceEncoder):
    """Embeds word vectors (B, L, C) with one-hot word classes (B, L, 15)."""

    def __init__(self, word_size: int, size: int, embedding_size: int):
        super().__init__(word_size, size, embedding_size)
        self.pos_emb = nn.Linear(len(PARTS_OF_SPEECH), word_size)

    def forward(self, words: Tensor, classes: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(words + self.pos_emb(classes), lengths)


class T2MEvaluator(ModelMixin, ConfigMixin):
    """Embeds captions and motions of HumanML3D (F = 263) or KIT-ML (F = 251).

    Motions are normalised with the evaluator's own mean and deviation. For the original ones they
    are neither the data set's Mean.npy and Std.npy nor these with a bias applied: its deviations of
    root and contacts are 25 times smaller than the data set's, in the files already. Gradients
    flow through embeddings; measure under `torch.no_grad()`.

    Args:
        num_features: F of the motion features, foot contacts last.
        vocabulary: words that have vectors, `unk` among them; without any, only motions can be
            embedded.
        movement_size, motion_size, text_size: widths of the networks.
        embedding_size: D of the embeddings.
        word_size: of the word vectors.
        trained_on: name of the data.
    """

    config_name = CONFIG_FILE

    @register_to_config
    def __init__(
        self,
        num_features: int = HUMANML3D.num_features,
        vocabulary: Sequence[str] = (),
        movement_size: int = 512,
        motion_size: int = 1024,
        text_size: int = 512,
        embedding_size: int = 512,
        word_size: int = 300,
        trained_on: str = "",
    ):
        super().__init__()
        self.movement_encoder = MovementEncoder(num_features - NUM_CONTACTS, movement_size)
        self.motion_encoder = SequenceEncoder(movement_size, motion_size, embedding_size)
        self.text_encoder = TextEncoder(word_size, text_size, embedding_size)
        self.words = WordVectorizer(vocabulary, word_size) if vocabulary else None
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))

    def encode_motion(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (B, D) of features (B, T, F), not normalised, of lengths (B,) in frames.

        Lengths may come in any order and are cut to multiples of 4 frames; what stands in features
        beyond them has no influence.

        Raises:
            ValueError: for features of another size, lengths that are not between 4 and 196 or
                beyond T, and NaN or infinity in a motion.
        """
        features, lengths = features.to(self.mean), lengths.to(self.mean.device)
        self._check(features, lengths)
        movements = lengths // FRAMES_PER_MOVEMENT
        counts = length_mask(movements * FRAMES_PER_MOVEMENT, features.shape[1])[..., None]
        frames = torch.where(counts, (features - self.mean) / self.std, 0.0)
        return self.motion_encoder(self.encode_movements(frames), movements)

    def encode_movements(self, frames: Tensor) -> Tensor:
        """Movements (B, L, D) of normalised features (B, T, F), zero beyond their lengths.

        Movements see a little beyond their frames. The original pads all motions to 196 frames,
        so that it is always the same that they see, whatever else is in the batch; one movement
        more is enough for that.
        """
        padding = (0, 0, 0, min(FRAMES_PER_MOVEMENT, MAX_FRAMES - frames.shape[1]))
        return self.movement_encoder(nn.functional.pad(frames[..., :-NUM_CONTACTS], padding))

    def encode_text(self, tokens: Sequence[str]) -> Tensor:
        """Embeddings (B, D) of captions as tokens, each like `a/DET person/NOUN walk/VERB`.

        Of a caption, the first 20 words count.

        Raises:
            ValueError: when there is no caption, one has no words, a token has no part of speech,
                or the evaluator has no word vectors.
        """
        index, lengths = self.index_text(tokens)
        return self.text_encoder(*self.words.embed(index), lengths)

    def index_text(self, tokens: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions as indices (B, L, 2) of words and classes, and lengths (B,).

        They are for `words.embed`, and on the host. Raises as `encode_text`.
        """
        if self.words is None:
            raise ValueError(
                "this evaluator has no word vectors, so it embeds motions only; load it with words"
            )
        if not len(tokens):
            raise ValueError("there are no captions to embed; give at least one")
        captions = [caption.split()[:MAX_WORDS] for caption in tokens]
        if [] in captions:
            raise ValueError(f"caption {captions.index([])} has no words; leave it out")
        rows = [self.words.index(["sos/OTHER", *caption, "eos/OTHER"]) for caption in captions]
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])

    @property
    def sha256(self) -> str:
        """Tells evaluators apart by sizes, vocabulary, statistics and weights."""
        options = {key: value for key, value in self.config.items() if not key.startswith("_")}
        text = json.dumps(options, sort_keys=True) + weights_sha256(self)
        return hashlib.sha256(text.encode()).hexdigest()

    def save_half(self, folder: str | os.PathLike):
        """Rounds weights to float16 and saves them so; statistics in float32.

        What `from_pretrained` reads is what this evaluator is then, to the last bit.
        """
        mean, std = self.mean, self.std
        self.half()
        self.mean, self.std = mean, std
        self.save_pretrained(folder)
        self.float()

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike | None = None) -> T2MEvaluator:
        """Reads what `save_pretrained` wrote, widened to float32; by default the one shipped here.

        Raises:
            ValueError: when the folder is missing, damaged or holds something else.
        """
        folder = Path(folder or SHIPPED)
        config, weights = _read_folder(folder)
        try:
            with torch.device("meta"):  # sizes are the file's, and may be any
                evaluator = cls(**config)
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{folder / CONFIG_FILE} describes no evaluator: {reason}") from error
        _check_shapes(folder, weights, evaluator.state_dict(), f"copy all of {folder} again")
        evaluator.load_state_dict(weights, assign=True)
        _check_deviations(weights["std"])
        return evaluator.eval()

    @classmethod
    def from_t2m_checkpoint(
        cls,
        path: str | os.PathLike,
        statistics: tuple[np.ndarray, np.ndarray] | None = None,
        words: WordVectorizer | None = None,
    ) -> T2MEvaluator:
        """Reads the official `finest.tar`, for HumanML3D or KIT-ML, without running code.

        Args:
            path: `checkpoints/<t2m or kit>/text_mot_match/model/finest.tar`.
            statistics: mean and deviation (F,) that the evaluator was trained with. By default
                those of `checkpoints/t2m/Comp_v6_KLD01/meta` (KIT-ML: `Comp_v6_KLD005`).
            words: by default those of `glove`, a folder beside `checkpoints`, if there is one.

        Raises:
            ValueError: when the file is missing, damaged, holds code or other networks, or
                statistics or words are missing or do not fit.
        """
        path = Path(path)
        weights = _read_weights(path)
        entry = weights.get("movement_encoder.main.0.weight")
        is_kit = getattr(entry, "shape", None) == (512, KIT.num_features - NUM_CONTACTS, 4)
        num_features = (KIT if is_kit else HUMANML3D).num_features
        if statistics is None:
            statistics = _read_statistics(_beside(path, "../..", _STATISTICS[num_features], "meta"))
        glove = _beside(path, "../../../..", "glove")
        if words is None and glove.is_dir():
            words = WordVectorizer.load(glove)
        weights["mean"], weights["std"] = map(torch.as_tensor, statistics)
        if words is not None:
            weights["words.vectors"] = words.vectors
        evaluator = cls(
            num_features,
            words.vocabulary if words is not None else (),
            trained_on=f"{'KIT-ML' if is_kit else 'HumanML3D'}, official",
        )
        advice = "give the official finest.tar with its own statistics and word vectors"
        _check_shapes(path, weights, evaluator.state_dict(), advice)
        _check_deviations(weights["std"])
        evaluator.load_state_dict(weights)
        return evaluator.eval()

    def _check(self, features: Tensor, lengths: Tensor):
        size = self.config.num_features
        if features.ndim != 3 or features.shape[2] != size or not len(features):
            raise ValueError(
                f"features are {tuple(features.shape)}, expected (B, T, {size}), not normalised"
            )
        if lengths.shape != features.shape[:1]:
            raise ValueError(
                f"lengths are {tuple(lengths.shape)}, expected one for each of the "
                f"{len(features)} motions"
            )
        shortest, longest = int(lengths.min()), int(lengths.max())
        allowed = min(MAX_FRAMES, features.shape[1])
        if shortest < FRAMES_PER_MOVEMENT or longest > allowed:
            raise ValueError(
                f"lengths are from {shortest} to {longest} frames, expected {FRAMES_PER_MOVEMENT} "
                f"to {allowed}; leave out or crop the others"
            )
        finite = features.isfinite().all(-1) | ~length_mask(lengths, features.shape[1])
        if not finite.all():
            raise ValueError(
                f"motion {int((~finite.all(1)).nonzero()[0])} of the batch has values that are not "
                "finite; leave it out"
            )


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Weights of the three networks in an official checkpoint, its optimisers left out."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; give the evaluator's finest.tar")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make unpicklers raise nearly anything
        raise ValueError(
            f"{path} is damaged, or holds code, which is not run; download the official "
            "finest.tar again"
        ) from error
    networks = checkpoint if isinstance(checkpoint, dict) else {}
    missing = [name for name in NETWORKS if not isinstance(networks.get(name), dict)]
    if missing:
        raise ValueError(
            f"{path} has no {missing[0]}, so it is no evaluator; give "
            "text_mot_match/model/finest.tar"
        )
    return {f"{name}.{key}": value for name in NETWORKS for key, value in networks[name].items()}


def _beside(path: Path, *names: str) -> Path:
    # symbolic links are not followed: the folders meant are those around the path as it was given
    return Path(os.path.abspath(path.parent.joinpath(*names)))


def _read_statistics(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        mean, std = (np.load(folder / name, allow_pickle=False) for name in ("mean.npy", "std.npy"))
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{folder} has no readable mean.npy and std.npy; pass the evaluator's own as statistics"
        ) from error
    return mean, std


def _read_folder(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    """Options and float32 weights of an evaluator that was saved into a folder."""
    if not (folder / CONFIG_FILE).is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise ValueError(
            f"{folder} holds no evaluator, which is {CONFIG_FILE} and {WEIGHTS_FILE}; train one "
            "with scripts/train_evaluator.py"
        )
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS_FILE)
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise ValueError(f"{folder} is damaged, copy it again: {error}") from error
    found = config.get("_class_name") if isinstance(config, dict) else None
    if found != T2MEvaluator.__name__:
        raise ValueError(f"{folder} holds a {found}, expected a {T2MEvaluator.__name__}")
    options = {key: value for key, value in config.items() if not key.startswith("_")}
    return options, {key: value.float() for key, value in weights.items()}


def _check_deviations(std: Tensor):
    if not (std > 0).all():
        raise ValueError(
            "the evaluator's deviations are not all above zero; give those it was trained with"
        )


def _check_shapes(path: Path, weights: dict[str, Tensor], expected: dict[str, Tensor], advice: str):
    given = {key: getattr(value, "shape", None) for key, value in weights.items()}
    for key in sorted(given.keys() | expected.keys()):
        shape = tuple(expected[key].shape) if key in expected else None
        found = tuple(given[key]) if given.get(key) is not None else None
        if found != shape:
            raise ValueError(
                f"{path}: {key} is {found or 'missing'}, expected {shape or 'nothing'}; {advice}"
            )
