import pytest
import torch

from motionmamba.models import LengthPredictor
from motionmamba.models.common import mean_token
from motionmamba.models.length_predictor import median_length


def text(batch: int = 5, tokens: int = 7, channels: int = 24):
    """Random tokens and a mask that leaves from 1 to all of them."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(batch, tokens, channels, generator=generator)
    counts = torch.randint(1, tokens + 1, (batch, 1), generator=generator)
    return states, torch.arange(tokens) < counts


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    return LengthPredictor(text_channels=24, hidden_size=16, max_frames=82).eval()


@pytest.fixture
def certain(predictor):
    """A predictor that says 3 units with 30 % and 7 units with 70 %, whatever it reads."""
    torch.nn.init.zeros_(predictor.layers[-1].weight)
    likely = torch.full((20,), 1e-9)
    likely[2], likely[6] = 0.3, 0.7
    predictor.layers[-1].bias.data = likely.log()
    return predictor


def test_lengths_are_whole_units_up_to_the_longest(predictor):
    states, mask = text(batch=64)
    assert predictor(states, mask).shape == (64, 20)
    torch.nn.init.normal_(predictor.layers[-1].weight, std=30.0)
    for frames in (
        predictor.predict(states, mask),
        predictor.sample(states, mask, torch.Generator().manual_seed(0)),
    ):
        assert frames.shape == (64,) and frames.dtype == torch.int64
        assert not (frames % 4).any() and 4 <= frames.min() < frames.max() <= 80


def test_what_the_mask_hides_is_not_read(predictor):
    states, mask = text()
    noise = 100 * torch.randn(states.shape) * ~mask[..., None]
    torch.testing.assert_close(predictor(states + noise, mask), predictor(states, mask))
    direct = torch.stack([s[m].mean(0) for s, m in zip(states, mask, strict=True)])
    torch.testing.assert_close(mean_token(states, mask), direct)


def test_predicts_the_median(certain):
    assert certain.predict(*text()).tolist() == [28] * 5
    likely = torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8]])
    assert median_length(likely).tolist() == [4, 8, 12]


def test_samples_are_drawn_as_often_as_they_are_likely(certain):
    def draw(seed):
        return certain.sample(*text(batch=2000), torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
    assert set(draw(1).tolist()) == {12, 28}
    assert (draw(1) == 12).float().mean() == pytest.approx(0.3, abs=0.04)


def test_a_length_counts_as_its_whole_units(predictor):
    lengths = torch.tensor([1, 4, 7, 8, 80, 82, 500])
    assert predictor.classes(lengths).tolist() == [0, 0, 0, 1, 19, 19, 19]


def test_is_small_and_says_the_same_in_half_precision():
    torch.manual_seed(0)
    predictor = LengthPredictor().eval()
    assert 2 * sum(p.numel() for p in predictor.parameters()) < 250e3
    tokens = text(batch=32, channels=384)
    whole = predictor.predict(*tokens)
    assert (predictor.half().predict(*tokens) - whole).abs().max() <= 4


def test_round_trip(predictor, tmp_path):
    predictor.save_pretrained(tmp_path)
    assert not list(tmp_path.rglob("*.bin")) and list(tmp_path.rglob("*.safetensors"))
    again = LengthPredictor.from_pretrained(tmp_path)
    assert not again.training and torch.equal(again(*text()), predictor(*text()))


def test_refuses_other_text_and_no_length(predictor):
    with pytest.raises(ValueError, match="trained on 24"):
        predictor.predict(*text(channels=32))
    with pytest.raises(ValueError, match="max_frames"):
        LengthPredictor(max_frames=3)
