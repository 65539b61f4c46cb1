import pytest
import torch

from motionmamba.training.disturbing import KINDS, disturb

LENGTHS = torch.tensor([40, 24, 8, 33])


def disturbed(kind, seed=0, features=None, deviation=None):
    generator = torch.Generator().manual_seed(seed)
    if features is None:
        features = torch.randn(4, 40, 3, generator=generator)
    features = features * (torch.arange(40) < LENGTHS[:, None])[..., None]
    deviation = torch.ones(3) if deviation is None else deviation
    return features, *disturb(features, LENGTHS, [kind], deviation, generator)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_beyond_the_end_and_a_seed_gives_one_result(kind):
    features, changed, level = disturbed(kind)
    assert torch.equal(changed, disturbed(kind)[1])
    assert not torch.equal(changed, disturbed(kind, seed=1)[1])
    assert ((level >= 0) & (level <= 1)).all()
    for row, original, length in zip(changed, features, LENGTHS, strict=True):
        assert not row[length:].any() and not torch.equal(row[:length], original[:length])


def test_noise_has_its_level_times_the_deviation_of_each_feature():
    still = torch.zeros(4, 40, 3)
    deviation = torch.tensor([1.0, 25.0, 0.0])
    runs = [disturbed("noise", seed, still, deviation)[1:] for seed in range(200)]
    scaled = torch.cat([(c / level[:, None, None])[0] for c, level in runs])  # the longest
    assert scaled.std(0) == pytest.approx(deviation, rel=0.05, abs=0)
    assert scaled.mean(0).abs() == pytest.approx(torch.zeros(3), abs=1.0)


def test_shuffled_motions_have_all_their_frames_in_another_order():
    features, changed, level = disturbed("shuffle")
    assert (level == 1).all()
    for row, original, length in zip(changed, features, LENGTHS, strict=True):
        frames = (sorted(map(tuple, x[:length].tolist())) for x in (row, original))
        assert next(frames) == next(frames)


def test_smooth_motions_lie_between_themselves_and_their_running_mean():
    features, changed, level = disturbed("smooth")
    for row, original, length, how in zip(changed, features, LENGTHS, level, strict=True):
        for t in range(length):
            mean = original[max(0, t - 8) : min(length, t + 9)].mean(0)
            assert row[t] == pytest.approx(original[t] + how * (mean - original[t]), abs=1e-5)


def test_kinds_are_mixed_and_each_row_has_one():
    features = torch.ones(600, 40, 1)
    features[:, 20:] = 3
    lengths = torch.full((600,), 40)
    generator = torch.Generator().manual_seed(0)
    changed, level = disturb(features, lengths, KINDS, torch.ones(1), generator)
    shuffled = torch.isin(changed, torch.tensor([1.0, 3.0])).all(dim=1).flatten()
    smooth = (changed[:, :11] == 1).all(dim=1).flatten() & ~shuffled
    assert 150 < shuffled.sum() < 250 and 150 < smooth.sum() < 250
    assert (level[shuffled] == 1).all()
