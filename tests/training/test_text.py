from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from diffusers.configuration_utils import register_to_config

from motionmamba.models.text_encoder import TextEmbedding, TextEncoder
from motionmamba.training.text import embed_captions

CAPTIONS = ["a person walks", "somebody waves with the left hand", ""]


class LetterEncoder(TextEncoder):
    """A token for each letter, and one before them."""

    name, channels = "letters", 2

    @register_to_config
    def __init__(self, pooling: str = "tokens"):
        super().__init__()
        own = torch.Generator().manual_seed(0)  # several threads make encoders, all the same
        self.letters = torch.nn.Embedding(256, 2, _weight=torch.randn(256, 2, generator=own))
        self.seen = []

    def _encode(self, texts):
        self.seen += texts
        codes = [torch.tensor([1, *text.encode()]) for text in texts]
        padded = torch.nn.utils.rnn.pad_sequence(codes, batch_first=True)
        return TextEmbedding(self.letters(padded) + 9.0, padded > 0)


@pytest.fixture
def letters():
    return LetterEncoder()


def rows(embeddings):
    tokens, mask = embeddings.padded(torch.arange(len(embeddings)))
    return [row[valid] for row, valid in zip(tokens, mask, strict=True)]


def files(cache):
    return [p for p in cache.rglob("*") if p.is_file()]


def test_embeddings_are_those_of_the_encoder(text_encoder, tmp_path):
    made = embed_captions(text_encoder, CAPTIONS, tmp_path, batch_size=2)
    direct, mask = text_encoder.encode(CAPTIONS)
    tokens, valid = made.padded(torch.tensor([0, 1, 2]))
    assert torch.equal(valid, mask) and tokens.dtype == torch.float16
    torch.testing.assert_close(tokens[mask].float(), direct[mask], atol=2e-3, rtol=0)
    assert not tokens[~mask].any()


def test_only_new_captions_are_embedded(letters, tmp_path):
    made = embed_captions(letters, CAPTIONS, tmp_path)
    grown = ["a new one", *reversed(CAPTIONS), CAPTIONS[0]]
    letters.seen.clear()
    again = embed_captions(letters, grown, tmp_path)
    assert letters.seen == ["a new one"]
    expected = rows(made)
    for row, index in zip(rows(again)[1:], (2, 1, 0, 0), strict=True):
        assert torch.equal(row, expected[index])
    letters.seen.clear()
    embed_captions(letters, grown[:2], tmp_path)
    assert not letters.seen and len(files(tmp_path)) == 2


def test_other_weights_or_options_share_nothing(letters, tmp_path):
    embed_captions(letters, CAPTIONS, tmp_path)
    pooled = LetterEncoder(pooling="pooled")
    embed_captions(pooled, CAPTIONS, tmp_path)
    with torch.no_grad():
        letters.letters.weight[3] += 1.0
    letters.seen.clear()
    embed_captions(letters, CAPTIONS, tmp_path)
    assert len(pooled.seen) == len(letters.seen) == 3
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b[::-1]])
def test_a_damaged_file_is_embedded_again(letters, tmp_path, damage):
    made = embed_captions(letters, CAPTIONS, tmp_path)
    (file,) = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    again = embed_captions(letters, CAPTIONS[:2], tmp_path)
    assert torch.equal(again.tokens, made.tokens[:-1]) and file not in files(tmp_path)


def test_several_may_fill_a_cache_at_once(tmp_path):
    texts = [f"caption {i}" for i in range(60)]
    parts = [texts[i : i + 30] for i in (0, 10, 20, 30, 0, 30)]
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: embed_captions(LetterEncoder(), part, tmp_path), parts))
    reader = LetterEncoder()
    read = embed_captions(reader, texts, tmp_path)
    assert not reader.seen and not [f for f in files(tmp_path) if f.suffix == ".partial"]
    alone = embed_captions(LetterEncoder(), texts, tmp_path / "alone")
    assert torch.equal(read.tokens, alone.tokens) and torch.equal(read.counts, alone.counts)
