import pytest
import torch

from motionmamba.models.embeddings import ConditionEmbedding, PositionalEmbedding


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_positions_are_told_apart_and_start_moves_them(kind):
    positions = PositionalEmbedding(kind, 10, 8)
    whole = positions(torch.zeros(1, 10, 8))[0]
    assert torch.pdist(whole).min() > 1e-3
    assert torch.equal(positions(torch.zeros(1, 4, 8), start=3)[0], whole[3:7])


def test_only_sinusoidal_positions_go_on_beyond_their_number():
    assert PositionalEmbedding("sinusoidal", 4, 8)(torch.zeros(1, 9, 8)).shape == (1, 9, 8)
    with pytest.raises(ValueError, match="position 5, but 4"):
        PositionalEmbedding("learned", 4, 8)(torch.zeros(1, 5, 8))


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="positional is 'rotary'"):
        PositionalEmbedding("rotary", 4, 8)
    with pytest.raises(ValueError, match="text_activation"):
        ConditionEmbedding(8, 8, "tanh")


def test_one_timestep_serves_the_whole_batch():
    embedding = ConditionEmbedding(8, 16)
    text = torch.randn(3, 2, 8)
    one, tokens, mask = embedding(7, text, None)
    each, _, _ = embedding(torch.tensor([7, 7, 7]), text, None)
    assert torch.equal(one, each) and tokens.shape == (3, 2, 16) and mask.all()


def test_text_activation():
    text = -torch.rand(1, 2, 8)
    _, relu, _ = ConditionEmbedding(8, 4, "relu")(0, text, None)
    _, linear, _ = ConditionEmbedding(8, 4, "none")(0, text, None)
    assert torch.equal(relu[:, 0], relu[:, 1])
    assert not torch.equal(linear[:, 0], linear[:, 1])
