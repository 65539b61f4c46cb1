from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from motionmamba.models import MotionVAE, TemporalMotionVAE
from motionmamba.motion.features import features_to_joints
from motionmamba.motion.skeleton import HUMANML3D, KIT
from motionmamba.training.batches import WindowSampler
from motionmamba.training.config import compose
from motionmamba.training.masking import SPAN, FeatureMask, LatentMask, Masking, feature_joints
from motionmamba.training.vae import train_vae, vae_losses

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LENGTHS = torch.tensor([40, 20, 12, 36])
WEIGHTS = OmegaConf.create(dict(features=1.0, joints=1.0, velocity=1.0, kl=1e-4, beta=0.05))
SCHEMES = ("random", "tube", "clip", "frame")


def hidden(scheme, ratio=0.5, chance=1.0, lengths=LENGTHS, size=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Masking(scheme, ratio, chance).hidden(lengths, size, 22, generator)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.8])
def test_the_hidden_share_of_what_is_valid_is_exact(scheme, ratio):
    mask = hidden(scheme, ratio)
    units = {"random": LENGTHS * 22, "tube": 22, "clip": LENGTHS // SPAN, "frame": LENGTHS}[scheme]
    size = torch.as_tensor(LENGTHS * 22 / units)
    expected = (torch.as_tensor(units * ratio)).round() * size
    assert torch.equal(mask.sum((1, 2)).float(), expected.float())
    assert mask.shape == (4, 40, 22)
    assert not mask[torch.arange(40) >= LENGTHS[:, None]].any(), "padding is not hidden"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_masks_repeat_with_their_seed_and_differ_from_one_to_another(scheme):
    first = hidden(scheme, lengths=torch.full((8,), 40))
    assert torch.equal(hidden(scheme, lengths=torch.full((8,), 40)), first)
    assert not torch.equal(hidden(scheme, lengths=torch.full((8,), 40), seed=1), first)
    assert len({tuple(row.flatten().tolist()) for row in first}) > 4


def test_a_tube_is_the_same_in_all_frames():
    for mask, length in zip(hidden("tube"), LENGTHS, strict=True):
        assert (mask[:length] == mask[0]).all() and 0 < mask[0].sum() < 22


def test_clips_and_frames_hide_the_whole_body():
    for scheme in ("clip", "frame"):
        mask = hidden(scheme)
        assert (mask == mask[..., :1]).all()
    spans = hidden("clip")[..., 0].view(4, -1, SPAN)
    assert (spans == spans[..., :1]).all()
    frames = hidden("frame")[..., 0].view(4, -1, SPAN)
    assert (frames != frames[..., :1]).any()


def test_random_entries_are_neither_rows_nor_columns():
    mask = hidden("random")[0].float()
    assert mask.mean(0).min() > 0.2 and mask.mean(0).max() < 0.8
    assert mask.mean(1).min() > 0.1 and mask.mean(1).max() < 0.9


def test_every_entry_is_as_likely():
    mask = hidden("random", lengths=torch.full((2000,), 12), size=16).float().mean(0)
    assert mask[:12].min() > 0.44 and mask[:12].max() < 0.56


def test_the_others_are_shown_whole():
    mask = hidden("frame", chance=0.3, lengths=torch.full((1000,), 40))
    touched = mask.flatten(1).any(1)
    assert 0.25 < touched.float().mean() < 0.35 and not mask[~touched].any()


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
def test_features_belong_to_their_joints(skeleton):
    owner = feature_joints(skeleton)
    assert len(owner) == skeleton.num_features
    feet = {joint for foot in skeleton.feet for joint in foot}
    for joint, count in enumerate(owner.bincount().tolist()):
        assert count == (7 if joint == 0 else 12) + (joint in feet)
    features = torch.randn(1, 6, skeleton.num_features, generator=torch.Generator().manual_seed(0))
    joints = features_to_joints(features, skeleton.name)
    for joint in (1, 8, skeleton.num_joints - 1):
        moved = torch.where(owner == joint, features + 1, features)
        changed = (features_to_joints(moved, skeleton.name) != joints).flatten(0, 1).any(-1).any(0)
        assert changed.nonzero().flatten().tolist() == [joint]


def test_hidden_features_are_zero_and_the_rest_is_as_it_was():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, 40, 263, generator=generator)
    show = FeatureMask(Masking("tube", 0.5, 1.0), HUMANML3D, "cpu")
    shown = show(features, LENGTHS, generator)
    gone = (shown != features)[torch.arange(40) < LENGTHS[:, None]]
    assert not shown[shown != features].any() and 0.3 < gone.float().mean() < 0.7
    beyond = torch.arange(40) >= LENGTHS[:, None]
    assert torch.equal(shown[beyond], features[beyond])
    whole = FeatureMask(Masking(), HUMANML3D, "cpu")
    assert whole(features, LENGTHS, generator) is features


def test_latents_hide_along_time_only():
    vae = TemporalMotionVAE(width=16)
    hide = LatentMask(Masking("clip", 0.5, 1.0), vae, "v_prediction")
    mask = hide(torch.tensor([48, 16]), 49, torch.Generator().manual_seed(0))
    assert mask.shape == (2, 49) and mask.sum(1).tolist() == [24, 8] and not mask[1, 16:].any()
    assert LatentMask(Masking(), vae, "epsilon")(torch.tensor([9]), 9, torch.Generator()) is None


@pytest.mark.parametrize(
    ("scheme", "vae", "prediction", "message"),
    [
        ("tube", TemporalMotionVAE, "sample", "latents do not have"),
        ("random", TemporalMotionVAE, "sample", "latents do not have"),
        ("frame", MotionVAE, "sample", "of the whole motion"),
        ("clip", TemporalMotionVAE, "epsilon", "v_prediction or sample"),
    ],
)
def test_schemes_without_meaning_are_refused(scheme, vae, prediction, message):
    small = {MotionVAE: dict(latent_channels=8, num_layers=1), TemporalMotionVAE: dict(width=16)}
    with pytest.raises(ValueError, match=message):
        LatentMask(Masking(scheme), vae(**small[vae]), prediction)


@pytest.mark.parametrize(
    "options", [dict(scheme="patches"), dict(ratio=0.0), dict(ratio=1.0), dict(chance=0.0)]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="train.masking"):
        Masking(**{"scheme": "tube"} | options)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_learnt_under_masks_serves_without_them(dataset, scheme):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    vae = TemporalMotionVAE(width=32, latent_channels=16)
    vae.set_statistics(dataset.mean, dataset.std)
    windows = WindowSampler(dataset, "train", dataset.mean, dataset.std, 32, "cpu")
    features, lengths = windows(16, generator).values()
    show = FeatureMask(Masking(scheme, 0.5, 0.5), dataset.skeleton, "cpu")
    optimizer = torch.optim.AdamW(vae.parameters(), 4e-3)

    def loss(shown):
        return vae_losses(vae, features, lengths, WEIGHTS, vae, generator, shown)["loss"]

    before = loss(features).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(show(features, lengths, generator)).backward()
        optimizer.step()
    assert loss(features).item() < 0.75 * before


def train(dataset, run, *overrides, resume=False):
    """The weights of a very small run."""
    config = compose(
        CONFIGS,
        "train_vae",
        [
            *("vae=tiny", "vae.width=32", "train=tiny", "train.device=cpu", "window=32"),
            *("train.batch_size=16", "train.sample_every=0", "train.warmup_steps=1"),
            *(f"dataset.path={dataset.folder}", *overrides),
        ],
    )
    return TemporalMotionVAE.from_pretrained(train_vae(config, run, resume)).state_dict()


def test_a_masked_run_resumes_bitwise(dataset, tmp_path):
    options = ("train.masking=random", "train.steps=6", "train.checkpoint_every=3")
    whole = train(dataset, tmp_path, *options)
    last = tmp_path / "checkpoints" / "step-00000006"
    last.rename(tmp_path / "last")
    again = train(dataset, tmp_path, *options, resume=True)
    assert last.is_dir()
    assert all(torch.equal(again[name], value) for name, value in whole.items())
