import json
import time
import warnings

import pytest
import torch

from motionmamba.models.text_encoder import MiniLMTextEncoder, OpenCLIPTextEncoder, TextEncoder


@pytest.fixture(scope="module")
def minilm():
    return MiniLMTextEncoder()


def test_tokens_and_mask(minilm):
    tokens, mask = minilm.encode(["a person raises the left hand", ""])
    assert tokens.shape == (2, 8, 384) and mask.sum(1).tolist() == [8, 2]


def test_padding_does_not_change_an_embedding(minilm):
    alone = minilm.encode(["he walks"])
    padded = minilm.encode(["he walks", "a much longer sentence about somebody who runs"])
    n = alone.tokens.shape[1]
    torch.testing.assert_close(padded.tokens[0, :n], alone.tokens[0], atol=1e-5, rtol=0)


def test_token_embeddings_keep_left_and_right_further_apart_than_pooled(minilm):
    texts = ["a person raises the left hand", "a person raises the right hand"]
    pooled = MiniLMTextEncoder(pooling="pooled").encode(texts)
    assert pooled.tokens.shape == (2, 1, 384)
    torch.testing.assert_close(pooled.tokens.norm(dim=-1), torch.ones(2, 1))
    similarity = torch.nn.functional.cosine_similarity
    tokens = minilm.encode(texts).tokens
    side = similarity(tokens[0, 5], tokens[1, 5], dim=0)  # [CLS] a person raises the LEFT
    assert side < similarity(pooled.tokens[0, 0], pooled.tokens[1, 0], dim=0) - 0.1


def test_too_long_text_is_cut_with_a_warning_that_names_the_rest():
    encoder = MiniLMTextEncoder(max_tokens=8)
    with pytest.warns(UserWarning, match="hops twice"):
        embedding = encoder.encode(["one two three four five six hops twice"])
    assert embedding.tokens.shape[1] == 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode(["one two three four five six"])


def test_round_trip_saves_no_weights(minilm, tmp_path):
    minilm.save_pretrained(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    again = MiniLMTextEncoder.from_pretrained(tmp_path)
    assert again.name == minilm.name


def test_damaged_folder_and_bad_pooling_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no model.safetensors"):
        MiniLMTextEncoder(folder=str(tmp_path))
    with pytest.raises(ValueError, match="pooling"):
        MiniLMTextEncoder(pooling="max")


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """A random CLIP of a size that tests can afford, as a user's local checkpoint would be."""
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 48, "vision_cfg": vision, "text_cfg": text}
    (folder / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-clip")
    torch.save(model.state_dict(), folder / "tiny.pt")
    return model, str(folder / "tiny.pt")


def test_open_clip_reads_a_local_checkpoint(tiny_clip):
    import open_clip

    model, checkpoint = tiny_clip
    texts = ["a person walks", "somebody jumps over there"]
    pooled = OpenCLIPTextEncoder("tiny-clip", checkpoint, pooling="pooled")
    expected = model.eval().encode_text(open_clip.get_tokenizer("tiny-clip")(texts))
    torch.testing.assert_close(pooled.encode(texts).tokens[:, 0], expected)
    encoder: TextEncoder = OpenCLIPTextEncoder("tiny-clip", checkpoint)
    embedding = encoder.encode(texts)
    assert (pooled.channels, encoder.channels) == (48, 32)
    assert embedding.tokens.shape == (2, 6, 32) and embedding.mask.sum(1).tolist() == [5, 6]
    with pytest.warns(UserWarning, match="swims"):
        encoder.encode(["walks " * 75 + "swims"])


def test_open_clip_says_at_once_what_it_cannot_get(monkeypatch):
    pytest.importorskip("open_clip")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("motionmamba.models.text_encoder._open_clip_cached", lambda config: False)
    began = time.monotonic()
    with pytest.raises(ValueError, match="cannot be downloaded"):
        OpenCLIPTextEncoder()
    assert time.monotonic() - began < 20
    with pytest.raises(ValueError, match="nor a tag"):
        OpenCLIPTextEncoder(pretrained="no-such-tag")
    with pytest.raises(ValueError, match="no model"):
        OpenCLIPTextEncoder(model="ViT-Z-99")
