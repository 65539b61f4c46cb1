import hashlib
import shutil

import numpy as np
import pytest
from finished_folder import WHOLE, swaying_body, write_folder

from motionmamba.data import write_dataset
from motionmamba.data.packed import Caption
from motionmamba.data.sources.humanml3d import MIRRORED, prepare_humanml3d, prepare_kit
from motionmamba.data.text.lines import parse_line
from motionmamba.motion.skeleton import HUMANML3D, KIT

WALKS = Caption("a person walks.", "a/DET person/NOUN walk/VERB")


@pytest.fixture(scope="module")
def motion():
    """Enough frames (T, 263) to cut clips from."""
    return swaying_body(HUMANML3D, 260)


@pytest.fixture
def folder(tmp_path, motion):
    return write_folder(tmp_path / "HumanML3D", HUMANML3D, motion)


@pytest.fixture
def kit_folder(tmp_path):
    return write_folder(tmp_path / "KIT-ML", KIT, swaying_body(KIT, 260))


def _write(folder, name, features=None, text=None):
    if features is not None:
        np.save(folder / "new_joint_vecs" / f"{name}.npy", features)
    if text is not None:
        (folder / "texts" / f"{name}.txt").write_text(text)


def test_all_is_taken_as_it_is(folder, motion):
    prepared = prepare_humanml3d(folder)
    assert prepared.dropped == {} and prepared.skeleton is HUMANML3D
    assert list(prepared.sources) == ["humanml3d"] and len(prepared.samples) == 8
    for sample in prepared.samples:
        assert sample.captions == [WALKS]
        assert sample.made == (MIRRORED if sample.name.startswith("M") else "")
        assert sample.take == sample.name[-6:]
        np.testing.assert_array_equal(sample.features, motion[int(sample.take) :][:120])
    assert [s.split for s in prepared.samples] == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    for values, name in zip(prepared.statistics, ("Mean.npy", "Std.npy"), strict=True):
        np.testing.assert_array_equal(values, np.load(folder / name).astype(np.float32))


def test_inputs_are_what_was_read(folder):
    (folder / "new_joint_vecs" / "000009.npy").write_bytes(b"")
    inputs = prepare_humanml3d(folder).inputs
    assert len(inputs) == 8 * 2 + 3 + 2
    for name, digest in inputs.items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


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
    prepared = prepare_humanml3d(folder)
    clips = {s.name: s for s in prepared.samples if s.name.startswith("M000001")}
    assert {name: [c.text for c in s.captions] for name, s in clips.items()} == {
        "M000001": ["whole", "Also  whole"],
        "M000001.2": ["part"],
        "M000001.4": ["to the end"],
    }
    np.testing.assert_array_equal(clips["M000001.2"].features, motion[1:121][25:99])
    np.testing.assert_array_equal(clips["M000001.4"].features, motion[1:121][40:])
    assert all(s.take == "000001" and s.made == MIRRORED for s in clips.values())
    short = {"texts/M000001.txt:6", "texts/M000001.txt:7"}
    assert prepared.dropped == dict.fromkeys(short, "part under 40 frames")


@pytest.mark.parametrize(("frames", "kept"), [(39, 0), (40, 40), (197, 196), (199, 196), (200, 0)])
def test_lengths(folder, motion, frames, kept):
    _write(folder, "000001", motion[:frames])
    prepared = prepare_humanml3d(folder)
    lengths = [len(s.features) for s in prepared.samples if s.name == "000001"]
    assert lengths == ([kept] if kept else [])
    assert list(prepared.dropped) == ([] if kept else ["new_joint_vecs/000001.npy"])


@pytest.mark.parametrize(("frames", "kept"), [(23, 0), (24, 24), (199, 196), (200, 0)])
def test_lengths_of_kit(kit_folder, frames, kept):
    """Times of its text lines count 20 frames to the second, as in the official loader."""
    motion = swaying_body(KIT, 260)
    _write(kit_folder, "000001", motion[:frames])
    _write(kit_folder, "000000", text="part#a/DET#1.0#2.2\npart#a/DET#1.0#2.1")
    prepared = prepare_kit(kit_folder)
    clips = {s.name: s.features for s in prepared.samples}
    assert clips["000000.1"].shape == (24, 251) and "000000" not in clips
    np.testing.assert_array_equal(clips["000000.1"], motion[20:44])
    assert len(clips.get("000001", [])) == kept
    dropped = {"texts/000000.txt:2": "part under 24 frames"}
    if not kept:
        reason = "under 24 frames" if frames < 24 else "200 frames or more"
        dropped["new_joint_vecs/000001.npy"] = reason
    assert prepared.dropped == dropped


def test_kit_is_packed_as_it_is(kit_folder, tmp_path):
    prepared = prepare_kit(kit_folder)
    dataset = write_dataset(tmp_path / "kit", prepared, "kit")
    assert (dataset.fps, dataset.skeleton) == (12.5, KIT)
    assert list(dataset.info["sources"]) == ["kit"]
    np.testing.assert_array_equal(dataset.std, np.load(kit_folder / "Std.npy").astype(np.float32))
    for clip, sample in zip(dataset.clips, prepared.samples, strict=True):
        np.testing.assert_array_equal(dataset.features(clip), sample.features)
        assert clip.made == sample.made and not clip.mirrored


def test_a_long_recording_gives_no_parts(folder, motion):
    """As in the official loader, which drops the file before it reads the text."""
    _write(folder, "000001", motion[:200], "part#a/DET#1.0#5.0")
    assert not [s for s in prepare_humanml3d(folder).samples if s.name.startswith("000001")]


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
    prepared = prepare_humanml3d(folder)
    assert prepared.dropped == {"new_joint_vecs/000001.npy": reason} and len(prepared.samples) == 7


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
    prepared = prepare_humanml3d(folder)
    assert prepared.dropped == {"new_joint_vecs/000001.npy": "no plain array of numbers"}
    assert len(prepared.samples) == 7


def test_bad_texts_are_listed(folder):
    _write(folder, "000000", text=f"no times#a/DET\n{WHOLE}\n#a/DET#0.0#0.0\nb#b/X#-1#3\nc#c/X#a#b")
    _write(folder, "M000000", text="\n")
    (folder / "texts" / "000001.txt").unlink()
    (folder / "texts" / "M000001.txt").write_bytes(b"caf\xe9#a/X#0.0#0.0")
    (folder / "new_joint_vecs" / "000009.npy").write_bytes(b"")
    prepared = prepare_humanml3d(folder)
    broken = dict.fromkeys(
        [f"texts/000000.txt:{n}" for n in (1, 3, 4, 5)], "not caption#tokens#start#end"
    )
    assert prepared.dropped == broken | {
        "texts/M000000.txt": "no caption",
        "texts/000001.txt": "missing",
        "texts/M000001.txt": "not UTF-8",
        "new_joint_vecs/000009.npy": "in no split file",
    }
    assert [s.name for s in prepared.samples if s.split == "train"] == ["000000"]


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
        prepare_humanml3d(folder)


def test_nothing_for_training_is_an_error(folder):
    for name in (folder / "train.txt").read_text().split():
        (folder / "new_joint_vecs" / f"{name}.npy").unlink()
    with pytest.raises(ValueError, match=r"no clip in train\.txt .*000000\.npy: missing"):
        prepare_humanml3d(folder)


@pytest.mark.parametrize("name", ["texts", "new_joint_vecs", "val.txt", "Std.npy"])
def test_another_folder_is_refused(folder, name):
    shutil.move(folder / name, folder / "elsewhere")
    with pytest.raises(ValueError, match=f"no finished HumanML3D or KIT-ML folder: {name} missing"):
        prepare_humanml3d(folder)


@pytest.mark.parametrize(
    ("std", "message"), [(np.ones(9), "263"), (np.full(263, np.nan), "263"), (np.zeros(263), "0")]
)
def test_bad_statistics_are_refused(folder, std, message):
    np.save(folder / "Std.npy", std)
    with pytest.raises(ValueError, match=f"Std.npy.*{message}"):
        prepare_humanml3d(folder)


def test_each_is_told_from_the_other(folder, kit_folder):
    with pytest.raises(ValueError, match="251 features, expected 263; prepare this folder as kit"):
        prepare_humanml3d(kit_folder)
    with pytest.raises(ValueError, match="expected 251; prepare this folder as humanml3d"):
        prepare_kit(folder)


def test_the_official_recording_is_packed(shared_data, folder, tmp_path):
    official = shared_data / "humanml3d"
    for name in ("Mean.npy", "Std.npy", "train.txt", "val.txt", "test.txt"):
        shutil.copy(official / name, folder)
    shutil.copy(official / "new_joint_vecs" / "012314.npy", folder / "new_joint_vecs")
    _write(folder, "012314", text=f"{WHOLE}\nhe sits down#he/PRON#2.0#6.0\n")
    _write(folder, "007975", np.full((60, 263), np.nan, np.float32), WHOLE)

    dataset = write_dataset(tmp_path / "packed", prepare_humanml3d(folder), "humanml3d")
    skipped = dataset.info["dropped"]
    clips = {c.name: c for c in dataset.clips}
    official_ids = 23384 + 1460 + 4384
    assert len(skipped) + len({c.name.split(".")[0] for c in clips.values()}) == official_ids
    assert skipped["new_joint_vecs/007975.npy"] == "NaN or infinite"
    assert len({(c.take, c.split) for c in clips.values()}) == len({c.take for c in clips.values()})

    features = np.load(official / "new_joint_vecs" / "012314.npy")
    for name, rows in (("012314", features), ("012314.2", features[40:120])):
        clip = clips[name]
        assert clip.split == "train"
        np.testing.assert_array_equal(dataset.features(clip), rows)
    for name, values in (("Mean", dataset.mean), ("Std", dataset.std)):
        np.testing.assert_array_equal(values, np.load(official / f"{name}.npy"))
