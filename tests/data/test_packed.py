import json

import numpy as np
import pytest

from motionmamba.data.packed import FILES, STD_BLOCKS, MotionDataset, Sample, write_dataset

ABOUT = {"name": "toy", "source": "here", "licence": "none", "statement": "templated"}


def _samples(count: int = 6) -> list[Sample]:
    rng = np.random.default_rng(0)
    splits = ("train", "train", "train", "val", "test", "train")
    return [
        Sample(
            f"clip{i}",
            f"take{i // 2}",
            splits[i % 6],
            rng.normal(1.0, 2.0, size=(10 + i, 263)).astype(np.float32),
            [f"caption {i}", "shared"],
            mirrored=bool(i % 2),
        )
        for i in range(count)
    ]


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "toy", _samples(), **ABOUT, skipped={"bad.bvh": "bad"})
    return tmp_path / "toy"


def test_round_trip(folder):
    dataset = MotionDataset.load(folder)
    assert (dataset.name, dataset.fps) == ("toy", 20.0)
    assert dataset.info["skipped"] == {"bad.bvh": "bad"}
    assert isinstance(dataset.features, np.memmap)
    for sample, clip in zip(_samples(), dataset.clips, strict=True):
        rows = dataset.features[clip.start : clip.start + clip.length]
        np.testing.assert_array_equal(rows, sample.features)
        assert [dataset.captions[i] for i in clip.captions] == sample.captions
        assert (clip.name, clip.take, clip.split) == (sample.name, sample.take, sample.split)
        assert clip.mirrored == sample.mirrored
    assert len(dataset.captions) == 7
    assert [c.name for c in dataset.split("val")] == ["clip3"]


def test_statistics_are_of_training_and_averaged_over_blocks(folder):
    dataset = MotionDataset.load(folder)
    training = np.concatenate([s.features for s in _samples() if s.split == "train"])
    np.testing.assert_allclose(dataset.mean, training.mean(0), rtol=1e-5)
    for first, end in zip(STD_BLOCKS, STD_BLOCKS[1:], strict=False):
        expected = training[:, first:end].std(0).mean()
        np.testing.assert_allclose(dataset.std[first:end], expected, rtol=1e-5)


def test_a_constant_block_has_no_zero_deviation(tmp_path):
    samples = _samples()
    for sample in samples:
        sample.features[:, 259:] = 1.0
    dataset = write_dataset(tmp_path / "toy", samples, **ABOUT)
    assert (dataset.std > 0).all()


def test_identity_tells_features_apart(folder, tmp_path):
    same = write_dataset(tmp_path / "same", _samples(), **ABOUT)
    changed = _samples()
    changed[0].features[0, 0] += 1
    other = write_dataset(tmp_path / "other", changed, **ABOUT)
    identity = MotionDataset.load(folder).info["sha256"]
    assert same.info["sha256"] == identity != other.info["sha256"]


@pytest.mark.parametrize("name", FILES)
def test_missing_and_damaged_files(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="prepare it again"):
        MotionDataset.load(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=name):
        MotionDataset.load(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("start", 10**6), ("length", 3), ("split", "new"), ("captions", [99])]
)
def test_clips_at_odds_with_the_data(folder, key, value):
    clips = json.loads((folder / "clips.json").read_text())
    clips[1][key] = value
    (folder / "clips.json").write_text(json.dumps(clips))
    with pytest.raises(ValueError, match="damaged"):
        MotionDataset.load(folder)


def test_failure_leaves_nothing_behind(tmp_path, folder):
    def broken():
        yield _samples()[0]
        raise ValueError("source went away")

    with pytest.raises(ValueError, match="went away"):
        write_dataset(folder, broken(), **ABOUT, overwrite=True)
    assert len(MotionDataset.load(folder).clips) == 6  # the old one still stands
    with pytest.raises(ValueError, match="training"):
        write_dataset(tmp_path / "none", [], **ABOUT)
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_what_is_there_is_replaced_on_demand_only(folder, tmp_path):
    with pytest.raises(ValueError, match="--overwrite"):
        write_dataset(folder, _samples(2), **ABOUT)
    assert len(write_dataset(folder, _samples(2), **ABOUT, overwrite=True).clips) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="something else"):
        write_dataset(tmp_path / "mine", _samples(), **ABOUT, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()
