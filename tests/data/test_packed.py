import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from motionmamba.data import packed
from motionmamba.data.directions import decode_directions, encode_directions
from motionmamba.data.packed import (
    JOINT_FILES,
    TABLES,
    Caption,
    MotionDataset,
    Prepared,
    Sample,
    Source,
    feature_blocks,
    merge_datasets,
    write_dataset,
)
from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion.features import canonical_joints, joints_to_features
from motionmamba.motion.skeleton import HUMANML3D, KIT, mirror_joints

SPLITS = ("train", "train", "held_out", "val", "test", "train")


def _joints(seed: int) -> np.ndarray:
    """A person of other size, somewhere in the room, facing anywhere."""
    rng = np.random.default_rng(seed)
    joints, _ = make_motion(rng)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    return (joints * rng.uniform(0.8, 1.1) @ turn + rng.normal(size=3)).astype(np.float32)


def _prepared(count: int = 6, prefix: str = "clip", key: str = "toy") -> Prepared:
    samples = [
        Sample(
            f"{prefix}{i}",
            f"take{i}",
            SPLITS[i % 6],
            [f"caption {i}", "shared"],
            _joints(i),
            parts=[("a part", 0.0, 1.5)],
            mirrored_captions=["mirrored"] if i % 2 else [],
            made="" if i else "joined of A and B",
        )
        for i in range(count)
    ]
    sources = {key: Source("recorded here", "CC0", "templated")}
    return Prepared(samples, sources, {"bad.bvh": "bad"}, {"a.bvh": "0" * 64}, {"seed": 0})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("packed") / "toy", _prepared(), "toy")


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "toy", _prepared(), "toy")
    return tmp_path / "toy"


def test_index_round_trip(written):
    dataset = MotionDataset.load(written.folder)
    assert (dataset.name, dataset.fps, dataset.skeleton) == ("toy", 20.0, HUMANML3D)
    assert dataset.info["dropped"] == {"bad.bvh": "bad"} and dataset.info["settings"] == {"seed": 0}
    assert dataset.info["sources"]["toy"]["licence"] == "CC0"
    clips = {clip.name: clip for clip in dataset.clips}
    assert [c.name for c in dataset.split("val")] == ["clip3", "Mclip3"]
    assert [c.name for c in dataset.split("held_out")] == ["clip2"]
    for sample in _prepared().samples:
        clip = clips[sample.name]
        assert [dataset.captions[i] for i in clip.captions] == sample.captions
        assert (clip.take, clip.split, clip.made) == (sample.take, sample.split, sample.made)
        assert clip.source == "toy" and clip.length == len(sample.joints) - 1
        assert [(dataset.captions[p.caption], p.start, p.end) for p in clip.parts] == sample.parts
        assert (f"M{sample.name}" in clips) == bool(sample.mirrored_captions)
    assert len(dataset.captions) == len(set(dataset.captions)) == 9
    assert dataset.tokens[dataset.captions.index("a part")] == "a/DET part/NOUN"


def test_features_are_those_of_the_joints_to_a_hair(written):
    samples = {sample.name: sample for sample in _prepared().samples}
    for clip in written.clips:
        joints = samples[clip.name.removeprefix("M")].joints
        joints = mirror_joints(joints) if clip.mirrored else joints
        expected = joints_to_features(joints, fold=False)
        features = written.features(clip)
        assert features.shape == expected.shape and features.dtype == np.float32
        far = np.abs(features[:, :259] - expected[:, :259])
        assert far.max() < 5e-4 and np.median(far) < 2e-5
        assert (features[:, 259:] == expected[:, 259:]).mean() > 0.99
        np.testing.assert_allclose(written.joints(clip), canonical_joints(joints), atol=1e-3)


def test_clips_expand_alone_as_together(written):
    features, starts = written.expand(written.clips)
    assert len(features) == sum(clip.length for clip in written.clips)
    for clip, start in zip(written.clips, starts.tolist(), strict=True):
        alone = written.features(clip)
        np.testing.assert_allclose(features[start : start + clip.length], alone, atol=2e-5)


def test_mirror_images_of_somebody_with_unequal_legs(tmp_path):
    prepared = _prepared(2)
    for sample in prepared.samples:
        shin = sample.joints[:, [7, 10]] - sample.joints[:, [4]]
        sample.joints[:, [7, 10]] = sample.joints[:, [4]] + 1.2 * shin
        sample.mirrored_captions = ["mirrored"]
    dataset = write_dataset(tmp_path / "toy", prepared, "toy")
    for sample, clip in zip(prepared.samples, dataset.clips[1::2], strict=True):
        assert clip.mirrored
        expected = canonical_joints(mirror_joints(sample.joints))
        np.testing.assert_allclose(dataset.joints(clip), expected, atol=1e-3)


def test_joints_are_stored_to_a_twentieth_of_a_millimetre_in_few_bytes(written):
    sample, clip = _prepared().samples[0], written.clips[0]
    assert np.abs(written.joints(clip) - canonical_joints(sample.joints)).max() < 5e-5
    size = sum((written.folder / name).stat().st_size for name in JOINT_FILES)
    rows = sum(len(sample.joints) for sample in _prepared().samples)
    assert size < rows * 96 + 400  # mirrored clips cost nothing


def test_directions_keep_to_seven_hundredths_of_a_milliradian():
    rng = np.random.default_rng(0)
    axes = np.concatenate([np.eye(3), -np.eye(3), np.eye(3)[:, ::-1] + np.eye(3)])
    vectors = np.concatenate([rng.normal(size=(20000, 3)), axes])
    units = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    decoded = decode_directions(torch.from_numpy(encode_directions(vectors))).numpy()
    np.testing.assert_allclose(np.linalg.norm(decoded, axis=-1), 1, atol=1e-6)
    assert np.linalg.norm(decoded - units, axis=-1).max() < 7e-5


def test_statistics_are_of_training_and_averaged_over_blocks(written):
    training = written.expand(written.split("train"))[0].numpy()
    np.testing.assert_allclose(written.mean, training.mean(0), rtol=1e-4, atol=1e-6)
    blocks = feature_blocks(HUMANML3D)
    assert blocks == (0, 1, 3, 4, 67, 193, 259, 263)
    for first, end in zip(blocks, blocks[1:], strict=False):
        expected = max(training[:, first:end].astype(np.float64).std(0).mean(), 1e-4)
        np.testing.assert_allclose(written.std[first:end], expected, rtol=1e-3)


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
def test_features_that_come_as_features_stay_as_they_are(tmp_path, skeleton):
    rng = np.random.default_rng(0)
    size = skeleton.num_features
    rows = [rng.normal(size=(20 + i, size)).astype(np.float32) for i in range(3)]
    for row in rows:
        row[:, -4:] = 1.0  # a constant block
    token = Caption("a person walked", "a/DET person/NOUN walk/VERB")
    samples = [Sample(f"{i}", f"{i}", "train", [token], features=x) for i, x in enumerate(rows)]
    prepared = Prepared(samples, {"x": Source("", "", "")}, skeleton=skeleton)
    dataset = write_dataset(tmp_path / "toy", prepared, "toy")
    assert (dataset.skeleton, dataset.fps) == (skeleton, skeleton.fps)
    assert dataset.tokens == [token.tokens] and (dataset.std > 0).all()
    for clip, row in zip(dataset.clips, rows, strict=True):
        np.testing.assert_array_equal(dataset.features(clip), row)
        assert dataset.joints(clip).shape == (clip.length, skeleton.num_joints, 3)
    np.testing.assert_array_equal(dataset.expand(dataset.clips)[0], np.concatenate(rows))


def test_statistics_that_come_with_the_source_are_kept(tmp_path):
    statistics = np.full(263, 2.0, np.float32), np.full(263, 3.0, np.float32)
    dataset = write_dataset(tmp_path / "toy", replace(_prepared(), statistics=statistics), "toy")
    np.testing.assert_array_equal([dataset.mean, dataset.std], statistics)


def test_joints_that_make_no_features_are_dropped_with_a_reason(tmp_path):
    prepared = _prepared()
    prepared.samples[0].joints[3, 5] = np.nan
    prepared.samples[1].joints[:, 4] = prepared.samples[1].joints[:, 1]
    dataset = write_dataset(tmp_path / "toy", prepared, "toy")
    assert set(dataset.info["dropped"]) == {"bad.bvh", "clip0", "clip1"}
    assert "NaN" in dataset.info["dropped"]["clip0"]
    assert {clip.name for clip in dataset.clips}.isdisjoint({"clip0", "clip1", "Mclip1"})


def test_checksums_tell_data_apart(folder, tmp_path):
    same = write_dataset(tmp_path / "same", _prepared(), "toy")
    assert same.info["files"] == MotionDataset.load(folder).info["files"]
    changed = _prepared()
    changed.samples[0].joints[5:, 20] += 0.02
    other = write_dataset(tmp_path / "other", changed, "toy")
    differ = {name for name, sha in same.info["files"].items() if other.info["files"][name] != sha}
    assert differ == {"bones.npy", "mean.npy", "std.npy"}


@pytest.mark.parametrize("name", (*TABLES, *JOINT_FILES))
def test_missing_and_damaged_files(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="prepare it again"):
        MotionDataset.load(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=name):
        MotionDataset.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("start", 10**6), ("start", -1), ("length", 10**6), ("length", 0), ("split", "new")]
    + [("captions", [99]), ("parts", [[99, 0, 1]]), ("parts", [[1]]), ("colour", "red")],
)
def test_clips_at_odds_with_the_data(folder, key, value):
    clips = json.loads((folder / "clips.json").read_text())
    clips[1][key] = value
    (folder / "clips.json").write_text(json.dumps(clips))
    with pytest.raises(ValueError, match="damaged"):
        MotionDataset.load(folder)


def test_two_clips_of_one_name_are_refused(tmp_path):
    prepared = _prepared(3)
    prepared.samples[2].name = "clip0"
    with pytest.raises(ValueError, match="several clips are called clip0"):
        write_dataset(tmp_path / "toy", prepared, "toy")
    assert not list(tmp_path.iterdir())


def test_failure_leaves_nothing_behind(tmp_path, folder, monkeypatch):
    def fail(*_):
        raise OSError("disk is full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(packed, "_statistics", fail)
        write_dataset(folder, _prepared(3), "toy", overwrite=True)
    assert len(MotionDataset.load(folder).clips) == 9  # the old one still stands
    with pytest.raises(ValueError, match="no clip for training"):
        write_dataset(tmp_path / "none", replace(_prepared(), samples=[]), "toy")
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_what_is_there_is_replaced_on_demand_only(folder, tmp_path):
    with pytest.raises(ValueError, match="--overwrite"):
        write_dataset(folder, _prepared(1), "toy")
    assert len(write_dataset(folder, _prepared(1), "toy", overwrite=True).clips) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="something else"):
        write_dataset(tmp_path / "mine", _prepared(), "toy", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_merging_keeps_every_clip_and_its_words(written, tmp_path):
    other = write_dataset(tmp_path / "more", _prepared(4, "more", "mine"), "more")
    merged = merge_datasets([written.folder, other.folder], tmp_path / "both", "both")
    assert set(merged.info["sources"]) == {"toy", "mine"}
    assert [c.name for c in merged.clips] == [c.name for s in (written, other) for c in s.clips]
    pairs = [(s, clip) for s in (written, other) for clip in s.clips]
    for (s, clip), now in zip(pairs, merged.clips, strict=True):
        assert [merged.captions[i] for i in now.captions] == [s.captions[i] for i in clip.captions]
        assert merged.captions[now.parts[0].caption] == "a part" if clip.parts else not now.parts
        np.testing.assert_array_equal(merged.features(now), s.features(clip))
    with pytest.raises(ValueError, match="merge each set once"):
        merge_datasets([written.folder, written.folder], tmp_path / "twice", "twice")
    assert not (tmp_path / "twice").exists()
