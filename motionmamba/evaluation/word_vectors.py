"""Word vectors and word classes that the text-to-motion evaluator of Guo et al. 2022 reads."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

PARTS_OF_SPEECH = (
    *("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV"),
    *("Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP", "Desc_VIP", "OTHER"),
)
_VIP = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down "
    "straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop "
    "sit lift lower raise wash stand kneel stroll rub bend balance flap jog shuffle lean rotate "
    "spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
VIP_CLASSES = {word: name for name, words in _VIP.items() for word in words.split()}
UNKNOWN = "unk"
MINILM_SIZE = 384
_MINILM_SPECIALS = {UNKNOWN: "[UNK]", "sos": "[CLS]", "eos": "[SEP]"}


class WordVectorizer(nn.Module):
    """Words with their vectors, and classes of words instead of some parts of speech.

    Words that matter to motion ("left", "arm", "walk") have classes of their own, whatever their
    part of speech. The classes and their words are those of EricGuo5513/text-to-motion, as in
    `utils/word_vectorizer.py` of EricGuo5513/momask-codes.

    Args:
        vocabulary: V words, `unk` among them.
        size: D of the vectors (V, D), which are zero until they are loaded.

    Raises:
        ValueError: when the vocabulary lacks `unk`.
    """

    def __init__(self, vocabulary: Sequence[str], size: int = 300):
        super().__init__()
        self.vocabulary = list(vocabulary)
        self._index = {word: i for i, word in enumerate(self.vocabulary)}
        if UNKNOWN not in self._index:
            raise ValueError(
                f"the vocabulary of {len(self.vocabulary)} words lacks '{UNKNOWN}', which stands "
                "for all other words; add it"
            )
        self.register_buffer("vectors", torch.zeros(len(self.vocabulary), size))

    def forward(self, tokens: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Vectors (L, D) and one-hot classes (L, 15) of tokens, each like `walk/VERB`.

        Words that are not in the vocabulary are `unk/OTHER`.

        Raises:
            ValueError: when a token has no part of speech.
        """
        return self.embed(self.index(tokens))

    def index(self, tokens: Sequence[str]) -> Tensor:
        """Indices (L, 2) of the words of tokens and of their classes; raises as `forward`."""
        return torch.tensor([self._lookup(token) for token in tokens])

    def embed(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (..., D) and one-hot classes (..., 15) of indices (..., 2)."""
        words, classes = index.to(self.vectors.device).unbind(-1)
        one_hot = nn.functional.one_hot(classes, len(PARTS_OF_SPEECH))
        return self.vectors[words], one_hot.to(self.vectors.dtype)

    def _lookup(self, token: str) -> tuple[int, int]:
        word, slash, name = token.rpartition("/")
        if not (word and slash and name):
            raise ValueError(
                f"the token '{token}' is not a word and its part of speech; write it as walk/VERB"
            )
        if word not in self._index:
            word, name = UNKNOWN, "OTHER"
        name = VIP_CLASSES.get(word, name)
        if name not in PARTS_OF_SPEECH:
            name = "OTHER"
        return self._index[word], PARTS_OF_SPEECH.index(name)

    @classmethod
    def from_minilm(cls, words: Iterable[str]) -> WordVectorizer:
        """Vectors (V, 384) of words and `unk`, `sos`, `eos` out of the embedded text encoder.

        A word's vector is the mean of the input embeddings of its pieces in all-MiniLM-L6-v2. They
        tell left from right (cosine 0.5), which sentence embeddings hardly do (0.99). Their scale
        differs fourfold between channels and is small, 0.06 on average, so channels are brought to
        zero mean and unit deviation over the vocabulary.

        Raises:
            ValueError: when the encoder's weights are missing.
        """
        from motionmamba.models.text_encoder import MiniLMTextEncoder

        encoder = MiniLMTextEncoder()
        table = encoder.bert.get_input_embeddings().weight
        vocabulary = with_specials(words)
        texts = [_MINILM_SPECIALS.get(word, word) for word in vocabulary]
        encodings = encoder.tokenizer.encode_batch(texts, add_special_tokens=False)
        vectors = torch.stack([table[encoding.ids].mean(0) for encoding in encodings])
        vectorizer = cls(vocabulary, MINILM_SIZE)
        vectorizer.vectors.copy_((vectors - vectors.mean(0)) / vectors.std(0))
        return vectorizer

    @classmethod
    def load(cls, folder: str | os.PathLike) -> WordVectorizer:
        """Reads `our_vab_data.npy`, `our_vab_words.pkl` and `our_vab_idx.pkl`.

        The pickles are read without running code: they may hold lists, dicts, strings and numbers.

        Raises:
            ValueError: when a file is missing, damaged, at odds with another or holds code.
        """
        folder = Path(folder)
        words = _read(folder / "our_vab_words.pkl", _read_pickle)
        index = _read(folder / "our_vab_idx.pkl", _read_pickle)
        data = _read(folder / "our_vab_data.npy", _read_array)
        if data.ndim != 2 or not np.issubdtype(data.dtype, np.floating):
            raise ValueError(
                f"{folder / 'our_vab_data.npy'} holds {data.dtype} {data.shape}, expected vectors "
                "(V, 300); download it again"
            )
        if not (isinstance(words, list) and isinstance(index, dict)):
            raise ValueError(
                f"{folder} holds a {type(words).__name__} of words and a {type(index).__name__} of "
                "indices, expected a list and a dict; download it again"
            )
        for word in words:
            row = index.get(word) if isinstance(word, str) else None
            if not (isinstance(row, int) and 0 <= row < len(data)):
                raise ValueError(
                    f"the word {word!r} of {folder} has no vector among the {len(data)} of "
                    "our_vab_data.npy; download all three files again"
                )
        vectorizer = cls(words, data.shape[1])
        vectorizer.vectors.copy_(torch.from_numpy(data[[index[word] for word in words]]))
        return vectorizer


def with_specials(words: Iterable[str]) -> list[str]:
    """A vocabulary: `unk`, `sos` and `eos`, then each of the words once, sorted."""
    return [*_MINILM_SPECIALS, *sorted(set(words) - _MINILM_SPECIALS.keys())]


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, strings and numbers; everything else needs a global, which it refuses."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def _read_pickle(file):
    return _PlainUnpickler(file).load()


def _read_array(file):
    return np.lib.format.read_array(file, allow_pickle=False)


def _read(path: Path, read):
    if not path.is_file():
        raise ValueError(f"{path} is missing; give the folder of the evaluator's word vectors")
    try:
        with path.open("rb") as file:
            return read(file)
    except Exception as error:  # damaged files make unpicklers raise nearly anything
        raise ValueError(
            f"{path} is damaged or holds more than plain words and numbers ({error}); "
            "download it again"
        ) from error
