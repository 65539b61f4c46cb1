import numpy as np
import torch

from motionmamba.models import TemporalMotionVAE
from motionmamba.models.text_encoder import TextEmbedding
from motionmamba.training.batches import LatentSampler, WindowSampler


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def windows(dataset, window):
    return WindowSampler(dataset, "train", dataset.mean, dataset.std, window, "cpu")


def test_windows_are_normalised_stretches_of_one_clip(dataset):
    batch = windows(dataset, 60)(64, seeded())
    clips = {c.start: c for c in dataset.split("train")}
    starts = np.array(sorted(clips))
    raw = batch["features"].numpy() * dataset.std + dataset.mean
    for rows, length in zip(raw, batch["lengths"].tolist(), strict=True):
        distance = np.abs(dataset.features - rows[0]).sum(1)
        first = int(distance.argmin())
        clip = clips[starts[np.searchsorted(starts, first, side="right") - 1]]
        assert first + length <= clip.start + clip.length
        np.testing.assert_allclose(
            rows[:length], dataset.features[first : first + length], atol=1e-4
        )
    beyond = torch.arange(60) >= batch["lengths"][:, None]
    assert beyond.any() and not batch["features"][beyond].any()


def test_windows_reach_both_ends_of_a_long_clip(dataset):
    sampler = windows(dataset, 40)
    clip = next(c for c in dataset.split("train") if c.length > 60)
    sampler.starts, sampler.lengths = torch.tensor([clip.start]), torch.tensor([clip.length])
    batch = sampler(600, seeded())
    assert (batch["lengths"] == 40).all()
    ends = sampler.features[[clip.start, clip.start + clip.length - 1]]
    assert (batch["features"][:, 0] == ends[0]).all(-1).any()
    assert (batch["features"][:, -1] == ends[1]).all(-1).any()


def test_batches_repeat_with_their_seed(dataset):
    sampler = windows(dataset, 40)
    assert torch.equal(sampler(8, seeded(3))["features"], sampler(8, seeded(3))["features"])
    assert not torch.equal(sampler(8, seeded(3))["features"], sampler(8, seeded(4))["features"])


def latents(dataset):
    torch.manual_seed(0)
    vae = TemporalMotionVAE(latent_channels=8, width=32, scaling_factor=2.0).eval()
    vae.set_statistics(torch.from_numpy(dataset.mean), torch.from_numpy(dataset.std))
    count = len(dataset.captions) + 1
    # each caption's embedding is its own number
    tokens = torch.arange(count)[:, None, None].expand(-1, 3, 2).float()
    text = TextEmbedding(tokens, torch.ones(count, 3, dtype=torch.bool))
    return vae, LatentSampler(dataset, "train", vae, text, "cpu")


def test_latents_are_those_of_the_clip_and_captions_belong_to_it(dataset):
    vae, sampler = latents(dataset)
    clips = dataset.split("train")
    for index in (0, 7):
        clip = clips[index]
        rows = torch.from_numpy(np.array(dataset.features[clip.start : clip.start + clip.length]))
        with torch.no_grad():
            mean = vae.encode(vae.normalize(rows)[None]).mean[0] * 2.0
        count = sampler.lengths[index]
        assert count == len(mean)
        torch.testing.assert_close(sampler.mean[index, :count].float(), mean, atol=5e-3, rtol=1e-2)
    batch = sampler(256, seeded(), caption_dropout=0.0)
    captions = batch["states"][:, 0, 0].long().tolist()
    lengths = batch["lengths"].tolist()
    for caption, length in zip(captions, lengths, strict=True):
        shown = [c for c, n in zip(clips, sampler.lengths.tolist(), strict=True) if n == length]
        assert any(caption in clip.captions for clip in shown)


def test_dropout_takes_the_empty_caption(dataset):
    _, sampler = latents(dataset)
    captions = sampler(2000, seeded(), caption_dropout=0.25)["states"][:, 0, 0]
    share = (captions == len(dataset.captions)).float().mean()
    assert 0.2 < share < 0.3
