from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from motionmamba.data import write_dataset
from motionmamba.data.crops import UNIT, Stretch
from motionmamba.data.packed import Prepared, Sample, Source
from motionmamba.models import TemporalMotionVAE
from motionmamba.training.batches import Buckets, LatentSampler, WindowSampler, bucket_count, rarity
from motionmamba.training.text import CaptionEmbeddings


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Clips of 12 to 90 frames whose features count up, so that a row tells where it was."""
    rng = np.random.default_rng(0)
    lengths = [12, *rng.integers(20, 90, 20).tolist(), 90]
    samples, first = [], 0
    for i, length in enumerate(lengths):
        features = np.repeat(np.arange(first, first + length)[:, None], 263, 1)
        parts = [("first half", 0.0, length / 40), ("end", length / 40, length / 20)]
        samples.append(
            Sample(str(i), str(i), "train", [f"clip {i}"], features=features, parts=parts)
        )
        first += length
    other = np.full((500, 263), -1.0)
    samples.append(Sample("other", "other", "test", ["another split"], features=other))
    statistics = np.zeros(263, np.float32), np.ones(263, np.float32)
    prepared = Prepared(samples, {"x": Source("x", "CC0", "x")}, statistics=statistics)
    return write_dataset(tmp_path_factory.mktemp("data") / "uneven", prepared, "uneven")


def windows(dataset, window, **options):
    return WindowSampler(dataset, "train", dataset.mean, dataset.std, window, "cpu", **options)


def places(batch, dataset):
    """The clip and the first frame in it of each crop of an `uneven` batch; checks the crops."""
    for rows, length in zip(batch["features"][..., 0], batch["lengths"].tolist(), strict=True):
        assert length % UNIT == 0 and length >= UNIT
        assert (rows[:length].diff() == 1).all() and not rows[length:].any()
        clip = next(c for c in dataset.split("train") if c.start + c.length > rows[0])
        assert rows[length - 1] < clip.start + clip.length, "a crop is of one clip"
        yield clip, int(rows[0]) - clip.start


def test_features_are_normalised_and_of_one_split(dataset):
    sampler = windows(dataset, 40)
    features, _ = dataset.expand(dataset.split("train"))
    assert sampler.features.shape == features.shape
    mean, std = torch.from_numpy(dataset.mean), torch.from_numpy(dataset.std)
    torch.testing.assert_close(sampler.features * std + mean, features, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("buckets", [1, 3])
def test_crops_are_whole_units_of_clips_of_the_split(uneven, buckets):
    sampler, generator = windows(uneven, 62, buckets=buckets), seeded()
    for _ in range(10):
        batch = sampler(16, generator)
        assert len(list(places(batch, uneven))) == 16 and batch["features"].shape[1] <= 60


def test_a_third_of_the_crops_of_short_clips_is_a_unit_shorter(uneven):
    sampler = windows(uneven, 100)
    items = torch.full((3000,), 5)
    length = uneven.split("train")[5].length
    batch = sampler.crop(items, 100, seeded())
    whole, shorter = (batch["lengths"] == length // 4 * 4 - 4 * k for k in (0, 1))
    assert (whole | shorter).all() and 0.3 < shorter.float().mean() < 0.37
    slack = length - batch["lengths"]
    offset = batch["features"][:, 0, 0] - sampler.features[sampler.starts[5], 0]
    assert (offset >= 0).all() and (offset <= slack).all()
    assert (offset == 0).any() and (offset == slack).any()


def test_windows_reach_both_ends_of_a_long_clip(uneven):
    sampler = windows(uneven, 40)
    batch = sampler.crop(torch.full((600,), 21), 40, seeded())  # 90 frames
    assert (batch["lengths"] == 40).all()
    offsets = {start for _, start in places(batch, uneven)}
    assert offsets == set(range(51))


def test_buckets_save_padding_and_every_clip_is_as_likely(uneven):
    sampler, generator = windows(uneven, 100, buckets=4), seeded()
    drawn, padded, valid = torch.zeros(22), 0, 0
    for _ in range(600):
        batch = sampler(8, generator)
        padded, valid = padded + batch["features"][..., 0].numel(), valid + batch["lengths"].sum()
        for clip, _ in places(batch, uneven):
            drawn[int(clip.name)] += 1
    assert drawn.min() > 150 and drawn.max() < 300, "218 each are expected"
    assert valid / padded > 0.8
    everything = sampler(64, generator, sampler.buckets.everything)
    assert everything["features"].shape[1] == 88 and everything["lengths"].min() < 30


@pytest.mark.parametrize("count", [1, 3])
def test_motions_are_drawn_by_their_weights(count):
    lengths, weights = torch.arange(20, 80), torch.rand(60, generator=seeded())
    weights[7] = 0.0
    buckets, generator = Buckets(lengths, 60, count, weights), seeded(1)
    drawn = torch.cat([buckets.pick(generator).draw(50, generator) for _ in range(2000)])
    share = drawn.bincount(minlength=60) / len(drawn)
    assert share[7] == 0 and (share - weights / weights.sum()).abs().max() < 0.004


def test_what_is_rarely_told_is_rare():
    tokens = [
        "a/DET man/NOUN walk/VERB",
        "he/PRON walk/VERB and/CCONJ kick/VERB",
        "a/DET kick/NOUN",
    ]
    dataset = SimpleNamespace(tokens=tokens)
    stretches = [
        Stretch(i, 0, 40, captions) for i, captions in enumerate([[0]] * 8 + [[0, 1], [2]])
    ]
    assert rarity(dataset, stretches, 0.0).eq(1).all()
    walk, kick, none = 1 / 9, 1.0, 1 / 10
    expected = [walk] * 8 + [(walk + (walk + kick) / 2) / 2, none]
    torch.testing.assert_close(rarity(dataset, stretches, 1.0), torch.tensor(expected))


def test_one_shape_where_steps_are_a_graph():
    train = OmegaConf.create({"buckets": 4})
    counts = [bucket_count(train, torch.device(name)) for name in ("cpu", "cuda")]
    assert counts == [4, 1]


def test_batches_repeat_with_their_seed(uneven):
    sampler = windows(uneven, 40, buckets=2)
    again, other = (sampler(8, seeded(seed))["features"] for seed in (3, 4))
    assert torch.equal(sampler(8, seeded(3))["features"], again)
    assert not torch.equal(again, other)


def test_refuses_what_holds_no_unit(uneven):
    with pytest.raises(ValueError, match="no clips in its val split"):
        WindowSampler(uneven, "val", uneven.mean, uneven.std, 40, "cpu")
    with pytest.raises(ValueError, match="expected 4 or more"):
        windows(uneven, 3)
    with pytest.raises(ValueError, match="train.buckets is 0"):
        bucket_count(OmegaConf.create({"buckets": 0}), torch.device("cpu"))
    short = Sample("tiny", "tiny", "train", ["x"], features=np.zeros((3, 263)))
    prepared = Prepared([short], {"x": Source("x", "CC0", "x")})
    folder = uneven.folder.with_name("short")
    with pytest.raises(ValueError, match="tiny .* 3 frames"):
        windows(write_dataset(folder, prepared, "short"), 40)


def embed(texts):
    """One token for each letter; a token tells which text it is of."""
    counts = torch.tensor([max(len(text), 1) for text in texts])
    tokens = torch.arange(len(texts)).repeat_interleave(counts)
    embed.texts = texts
    return CaptionEmbeddings(tokens[:, None].half(), counts)


def latents(dataset, **options):
    torch.manual_seed(0)
    vae = TemporalMotionVAE(latent_channels=8, width=32, scaling_factor=2.0).eval()
    vae.set_statistics(dataset.mean, dataset.std)
    torch.nn.init.constant_(vae.encoder_out.bias[8:], -30.0)  # samples are their means
    return vae, LatentSampler(dataset, "train", vae, embed, "cpu", **options)


def test_latents_are_encoded_crops(dataset):
    vae, sampler = latents(dataset, buckets=3)
    generator = seeded()
    for _ in range(3):
        state = generator.get_state()
        batch = sampler(4, generator, 0.0)
        generator.set_state(state)
        bucket = sampler.buckets.pick(generator)
        crops = sampler.windows.crop(bucket.draw(4, generator), bucket.frames, generator)
        assert (batch["lengths"] == crops["lengths"] // 4).all()
        assert batch["latents"].shape[1] == bucket.frames // 4
        for i, length in enumerate(batch["lengths"]):
            with torch.no_grad():
                mean = vae.encode(crops["features"][i, None, : 4 * length]).mean[0] * 2.0
            torch.testing.assert_close(batch["latents"][i, :length], mean, atol=1e-4, rtol=1e-3)
            assert not batch["latents"][i, length:].any()


def test_whole_motions_are_encoded_once(dataset):
    vae, sampler = latents(dataset, random_crops=False, buckets=2)
    clips = dataset.split("train")
    for index in (0, 7):
        rows = torch.from_numpy(dataset.features(clips[index]))
        rows = rows[: len(rows) // 4 * 4]
        with torch.no_grad():
            mean = vae.encode(vae.normalize(rows)[None]).mean[0] * 2.0
        drawn, lengths = sampler._latents(torch.tensor([index]), len(rows), seeded())
        assert lengths[0] == len(mean)
        torch.testing.assert_close(drawn[0], mean, atol=5e-3, rtol=1e-2)
    batch = sampler(64, seeded(), 0.0)
    assert batch["latents"].shape[1] == batch["lengths"].max()


def test_captions_belong_to_their_clip_or_part(uneven):
    _, sampler = latents(uneven)
    assert "another split" not in embed.texts and embed.texts[-1] == ""
    expected = {}
    for clip in uneven.split("train"):
        half = clip.length // 2
        expected |= {
            (clip.start, clip.length): f"clip {clip.name}",
            (clip.start, half): "first half",
            (clip.start + half, clip.length - half): "end",
        }
    stretches = zip(sampler.windows.starts.tolist(), sampler.windows.lengths.tolist(), strict=True)
    captions = sampler.captions[:, 0].tolist()
    made = dict(zip(stretches, (embed.texts[i] for i in captions), strict=True))
    assert made == expected


def test_states_are_those_of_the_caption_and_dropout_takes_the_empty_one(uneven):
    _, sampler = latents(uneven, random_crops=False)
    batch = sampler(2000, seeded(), caption_dropout=0.25)
    captions = batch["states"][:, 0, 0].long()
    counts = torch.tensor([max(len(text), 1) for text in embed.texts])
    assert torch.equal(batch["mask"].sum(1), counts[captions])
    assert not batch["states"][~batch["mask"]].any()
    share = (captions == len(embed.texts) - 1).float().mean()
    assert 0.2 < share < 0.3


def test_scenes_of_a_caption_go_where_it_goes(uneven):
    _, plain = latents(uneven)
    before = embed.texts
    _, sampler = latents(uneven, scenes=2)
    assert embed.texts[:-1:3] == before[:-1] and embed.texts[-1] == ""
    assert torch.equal(sampler.captions // 3, plain.captions[:, :1].expand(-1, 3))
    assert torch.equal(sampler.caption_counts, 3 * plain.caption_counts)
    with pytest.raises(ValueError, match="train.scenes is -1"):
        latents(uneven, scenes=-1)
