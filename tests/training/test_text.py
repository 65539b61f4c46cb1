import torch

from motionmamba.training.text import embed_captions

CAPTIONS = ["a person walks", "somebody waves with the left hand", ""]


def test_embeddings_are_those_of_the_encoder_and_read_back(text_encoder, tmp_path, monkeypatch):
    made = embed_captions(text_encoder, CAPTIONS, tmp_path, batch_size=2)
    direct = text_encoder.encode(CAPTIONS)
    valid = direct.mask
    assert torch.equal(made.mask, valid) and made.tokens.dtype == torch.float16
    torch.testing.assert_close(made.tokens[valid].float(), direct.tokens[valid], atol=2e-3, rtol=0)
    assert not made.tokens[~valid].any()

    def never(*_):
        raise AssertionError("embedded again")

    monkeypatch.setattr(type(text_encoder), "_encode", never)
    again = embed_captions(text_encoder, CAPTIONS, tmp_path)
    assert torch.equal(again.tokens, made.tokens)


def test_a_damaged_cache_is_made_again(text_encoder, tmp_path):
    made = embed_captions(text_encoder, CAPTIONS, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(embed_captions(text_encoder, CAPTIONS, tmp_path).tokens, made.tokens)
    embed_captions(text_encoder, CAPTIONS[:2], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "other captions are another file"
