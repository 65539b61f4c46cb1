import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from motionmamba.data import MotionDataset
from motionmamba.data.humanml3d import humanml3d_samples, parse_line, read_statistics
from motionmamba.data.procedural import procedural_samples

ROOT = Path(__file__).resolve().parents[2]
WHOLE = "a person walks.#a/DET person/NOUN walk/VERB#0.0#0.0"


@pytest.fixture(scope="module")
def motion():
    """Enough frames (T, 263) of procedural motion to cut clips from."""
    return np.concatenate([s.features for s in procedural_samples(6, seed=0)])


@pytest.fixture
def folder(tmp_path, motion):
    """Made-up HumanML3D: four takes with mirrored copies, the third for val, the fourth test."""
    folder = tmp_path / "HumanML3D"
    (folder / "new_joint_vecs").mkdir(parents=True)
    (folder / "texts").mkdir()
    for i, split in enumerate(("train", "train", "val", "test")):
        for name in (f"{i:06d}", f"M{i:06d}"):
            np.save(folder / "new_joint_vecs" / f"{name}.npy", motion[i : i + 120])
            (folder / "texts" / f"{name}.txt").write_text(WHOLE + "\n")
            with (folder / f"{split}.txt").open("a") as file:
                file.write(f"{name}\n")
    rng = np.random.default_rng(0)
    np.save(folder / "Mean.npy", rng.normal(size=263))
    np.save(folder / "Std.npy", rng.uniform(0.1, 1.0, 263).astype(np.float32))
    return folder


def _write(folder, name, features=None, text=None):
    if features is not None:
        np.save(folder / "new_joint_vecs" / f"{name}.npy", features)
    if text is not None:
        (folder / "texts" / f"{name}.txt").write_text(text)


def _prepare(*arguments):
    command = [sys.executable, ROOT / "scripts" / "prepare_dataset.py", "humanml3d"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command += map(str, arguments)
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_all_is_taken_as_it_is(folder, motion):
    samples, skipped = humanml3d_samples(folder)
    assert skipped == {} and len(samples) == 8
    for sample in samples:
        assert sample.captions == ["a person walks."]
        assert sample.mirrored == sample.name.startswith("M")
        assert sample.take == sample.name[-6:]
        np.testing.assert_array_equal(sample.features, motion[int(sample.take) :][:120])
    assert [s.split for s in samples] == ["train"] * 4 + ["val"] * 2 + ["test"] * 2


def test_lines_with_times_are_clips_of_their_own(folder, motion):
    lines = [
        "whole#a/DET#nan#nan",
        "part#a/DET#1.26#4.99",
        "",
        "to the end#a/DET#2.0#99.0",
        "Also  whole#a/DET#0.0#0.0",
        "too short#a/DET#1.0#2.95",
        "no end#a/DET#3.0#nan",
    ]
    _write(folder, "M000001", text="\r\n".join(lines))
    samples, skipped = humanml3d_samples(folder)
    clips = {s.name: s for s in samples if s.name.startswith("M000001")}
    assert {name: s.captions for name, s in clips.items()} == {
        "M000001": ["whole", "Also  whole"],
        "M000001.2": ["part"],
        "M000001.4": ["to the end"],
    }
    np.testing.assert_array_equal(clips["M000001.2"].features, motion[1:121][25:99])
    np.testing.assert_array_equal(clips["M000001.4"].features, motion[1:121][40:])
    assert all(s.take == "000001" and s.mirrored for s in clips.values())
    short = {"texts/M000001.txt:6", "texts/M000001.txt:7"}
    assert skipped == dict.fromkeys(short, "part under 40 frames")


@pytest.mark.parametrize(("frames", "kept"), [(39, 0), (40, 40), (197, 196), (199, 196), (200, 0)])
def test_lengths(folder, motion, frames, kept):
    _write(folder, "000001", motion[:frames])
    samples, skipped = humanml3d_samples(folder)
    assert [len(s.features) for s in samples if s.name == "000001"] == ([kept] if kept else [])
    assert list(skipped) == ([] if kept else ["new_joint_vecs/000001.npy"])


def test_a_long_recording_gives_no_parts(folder, motion):
    """As in the official loader, which drops the file before it reads the text."""
    _write(folder, "000001", motion[:200], "part#a/DET#1.0#5.0")
    assert not [s for s in humanml3d_samples(folder)[0] if s.name.startswith("000001")]


def _nan(folder, path):
    features = np.load(path)
    features[7, 100] = np.nan
    np.save(path, features)


BAD_MOTION = {
    "NaN or infinite": _nan,
    "missing": lambda folder, path: path.unlink(),
    "not (T, 263)": lambda folder, path: np.save(path, np.load(path)[:, :251]),
    "under 40 frames": lambda folder, path: np.save(path, np.load(path)[:20]),
    "200 frames or more": lambda folder, path: np.save(path, np.tile(np.load(path), (2, 1))),
}


@pytest.mark.parametrize("reason", BAD_MOTION)
def test_bad_motion_is_listed(folder, reason):
    BAD_MOTION[reason](folder, folder / "new_joint_vecs" / "000001.npy")
    samples, skipped = humanml3d_samples(folder)
    assert skipped == {"new_joint_vecs/000001.npy": reason} and len(samples) == 7


@pytest.mark.parametrize("kind", ["pickle", "objects", "cut", "empty", "npz", "integers"])
def test_what_is_no_plain_array_is_listed(folder, kind):
    path = folder / "new_joint_vecs" / "000001.npy"
    features = np.load(path)
    if kind == "npz":
        np.savez(folder / "a.npz", features)
        shutil.move(folder / "a.npz", path)
    elif kind == "objects":
        np.save(path, np.array([features, None], dtype=object), allow_pickle=True)
    elif kind == "integers":
        np.save(path, features.astype(int))
    else:
        content = {"pickle": features.dumps(), "cut": path.read_bytes()[:999], "empty": b""}
        path.write_bytes(content[kind])
    samples, skipped = humanml3d_samples(folder)
    assert skipped == {"new_joint_vecs/000001.npy": "no plain array of numbers"}
    assert len(samples) == 7


def test_bad_texts_are_listed(folder):
    _write(folder, "000000", text=f"no times#a/DET\n{WHOLE}\n#a/DET#0.0#0.0\nb#b/X#-1#3\nc#c/X#a#b")
    _write(folder, "M000000", text="\n")
    (folder / "texts" / "000001.txt").unlink()
    (folder / "texts" / "M000001.txt").write_bytes(b"caf\xe9#a/X#0.0#0.0")
    (folder / "new_joint_vecs" / "000009.npy").write_bytes(b"")
    samples, skipped = humanml3d_samples(folder)
    broken = dict.fromkeys(
        [f"texts/000000.txt:{n}" for n in (1, 3, 4, 5)], "not caption#tokens#start#end"
    )
    assert skipped == broken | {
        "texts/M000000.txt": "no caption",
        "texts/000001.txt": "missing",
        "texts/M000001.txt": "not UTF-8",
        "new_joint_vecs/000009.npy": "in no split file",
    }
    assert [s.name for s in samples if s.split == "train"] == ["000000"]


@pytest.mark.parametrize(
    "line", ["", "a", "a#b#0.0", "a#b#0#0#0", "a#b#inf#0", "a#b#0#x", "#b#0#0"]
)
def test_lines_that_are_refused(line):
    with pytest.raises(ValueError):
        parse_line(line)


def test_a_take_in_two_splits_is_an_error(folder):
    with (folder / "test.txt").open("a") as file:
        file.write("M000001\n")
    with pytest.raises(ValueError, match=r"000001.*train\.txt and in test\.txt"):
        humanml3d_samples(folder)


def test_nothing_for_training_is_an_error(folder):
    for name in (folder / "train.txt").read_text().split():
        (folder / "new_joint_vecs" / f"{name}.npy").unlink()
    with pytest.raises(ValueError, match=r"no clip in train\.txt .*000000\.npy: missing"):
        humanml3d_samples(folder)


@pytest.mark.parametrize("name", ["texts", "new_joint_vecs", "val.txt", "Std.npy"])
def test_another_folder_is_refused(folder, name):
    shutil.move(folder / name, folder / "elsewhere")
    for read in (humanml3d_samples, read_statistics):
        with pytest.raises(ValueError, match=f"no finished HumanML3D folder: {name} missing"):
            read(folder)


@pytest.mark.parametrize(
    ("std", "message"), [(np.ones(9), "263"), (np.full(263, np.nan), "263"), (np.zeros(263), "0")]
)
def test_bad_statistics_are_refused(folder, std, message):
    np.save(folder / "Std.npy", std)
    with pytest.raises(ValueError, match=f"Std.npy.*{message}"):
        read_statistics(folder)


def test_kit_is_refused(folder):
    np.save(folder / "Mean.npy", np.zeros(251))
    with pytest.raises(ValueError, match="KIT-ML with 251 features"):
        read_statistics(folder)


def test_command_on_the_official_recording(shared_data, folder, tmp_path):
    official = shared_data / "humanml3d"
    for name in ("Mean.npy", "Std.npy", "train.txt", "val.txt", "test.txt"):
        shutil.copy(official / name, folder)
    shutil.copy(official / "new_joint_vecs" / "012314.npy", folder / "new_joint_vecs")
    _write(folder, "012314", text=f"{WHOLE}\nhe sits down#he/PRON#2.0#6.0\n")
    _write(folder, "007975", np.full((60, 263), np.nan, np.float32), WHOLE)

    out = tmp_path / "packed"
    done = _prepare("--source", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    for words in ("by annotators", "not be redistributed", "1 NaN or infinite", "missing: new_j"):
        assert words in " ".join(done.stdout.split())

    dataset = MotionDataset.load(out)
    skipped = dataset.info["skipped"]
    clips = {c.name: c for c in dataset.clips}
    official_ids = 23384 + 1460 + 4384
    assert len(skipped) + len({c.name.split(".")[0] for c in clips.values()}) == official_ids
    assert skipped["new_joint_vecs/007975.npy"] == "NaN or infinite"
    assert len({(c.take, c.split) for c in clips.values()}) == len({c.take for c in clips.values()})

    features = np.load(official / "new_joint_vecs" / "012314.npy")
    for name, rows in (("012314", features), ("012314.2", features[40:120])):
        clip = clips[name]
        assert clip.split == "train"
        stored = dataset.features[clip.start : clip.start + clip.length]
        np.testing.assert_array_equal(stored, rows)
    for name, values in (("Mean", dataset.mean), ("Std", dataset.std)):
        np.testing.assert_array_equal(values, np.load(official / f"{name}.npy"))


def test_command_refuses_in_one_line(tmp_path):
    done = _prepare("--source", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    (line,) = done.stderr.strip().splitlines()
    assert "no finished HumanML3D folder" in line
