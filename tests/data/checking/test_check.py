import json
import math
import shutil

import numpy as np
import pytest

from motionmamba.data.checking.check import Finding, Kind, check_folder, summarise
from motionmamba.data.packed import (
    Caption,
    MotionDataset,
    Prepared,
    Sample,
    Source,
    feature_blocks,
    write_dataset,
)
from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion.features import features_to_joints, joints_to_features
from motionmamba.motion.skeleton import HUMANML3D, KIT, mirror_joints

LINE = "a person {} number {}.#a/DET person/NOUN {}/VERB number/NOUN#0.0#0.0\n"
SOURCE = Source("toys", "none", "made up")
SPLITS = {"train": range(6), "val": (6,), "test": (7,)}


def _kit_joints(joints):
    """HumanML3D's joints as KIT-ML's, in its unit."""
    others = {"root": 0, "pelvis": 3, "thorax": 9, "lower_neck": 12, "upper_neck": 15}
    columns = []
    for name in KIT.joint_names:
        if name in others:
            columns.append(joints[:, others[name]])
        elif name.endswith("midfoot"):
            side = name.split("_")[0]
            ankle, foot = (HUMANML3D.joint_names.index(f"{side}_{n}") for n in ("ankle", "foot"))
            columns.append((joints[:, ankle] + joints[:, foot]) / 2)
        else:
            columns.append(joints[:, HUMANML3D.joint_names.index(name)])
    return np.stack(columns, 1) * 600


def _statistics(features, skeleton=HUMANML3D):
    mean, std = features.mean(0), features.std(0)
    blocks = feature_blocks(skeleton)
    for first, end in zip(blocks, blocks[1:], strict=False):
        std[first:end] = std[first:end].mean()
    return mean, np.maximum(std, 1e-4)


def _finished(folder, joints, skeleton=HUMANML3D):
    """Writes a clean HumanML3D or KIT-ML folder of eight takes and their mirror images."""
    for name in ("new_joint_vecs", "new_joints", "texts"):
        (folder / name).mkdir(parents=True)
    training = []
    for split, takes in SPLITS.items():
        for take in takes:
            for name in (f"{take:06d}", f"M{take:06d}"):
                shown = mirror_joints(joints[take], skeleton) if name[0] == "M" else joints[take]
                features = joints_to_features(shown, skeleton is HUMANML3D, skeleton.name)
                np.save(folder / "new_joint_vecs" / f"{name}.npy", features)
                recovered = features_to_joints(features, skeleton.name)
                np.save(folder / "new_joints" / f"{name}.npy", recovered)
                line = LINE.format("walks" if name[0] == "M" else "goes", take, "walk")
                (folder / "texts" / f"{name}.txt").write_text(line)
                with (folder / f"{split}.txt").open("a") as file:
                    file.write(f"{name}\n")
                training += [features] if split == "train" else []
    mean, std = _statistics(np.concatenate(training), skeleton)
    np.save(folder / "Mean.npy", mean)
    np.save(folder / "Std.npy", std)
    return folder


@pytest.fixture(scope="module")
def joints():
    rng = np.random.default_rng(1)
    made = [joints for joints, _ in (make_motion(rng) for _ in range(20)) if len(joints) >= 68]
    return [joints[: 60 + i] for i, joints in enumerate(made[:8])]


@pytest.fixture(scope="module")
def clean(tmp_path_factory, joints):
    return _finished(tmp_path_factory.mktemp("clean") / "h3d", joints)


@pytest.fixture
def folder(tmp_path, clean):
    return shutil.copytree(clean, tmp_path / "HumanML3D")


@pytest.fixture(scope="module")
def clean_packed(tmp_path_factory, joints):
    samples = []
    for i, (split, take) in enumerate([(s, t) for s, takes in SPLITS.items() for t in takes]):
        captions = [Caption(f"{who} moves {i}", "move/VERB") for who in ("he", "she", "it")]
        sample = Sample(f"clip{i}", f"take{i}", split, captions[:2], joints[take])
        sample.parts = [(captions[2], 0.5, 1.5)]
        sample.mirrored_captions = [Caption(f"mirrored {i}", "move/VERB")]
        samples.append(sample)
    folder = tmp_path_factory.mktemp("packed") / "toy"
    write_dataset(folder, Prepared(samples, {"toys": SOURCE}), "toy")
    return folder


@pytest.fixture
def packed(tmp_path, clean_packed):
    return shutil.copytree(clean_packed, tmp_path / "toy")


def _kinds(findings):
    return {(f.what, f.severity) for f in findings}


def _only(findings, kind, where, severity="error", words=""):
    """All findings are of one kind and severity, and are found where they should."""
    assert _kinds(findings) == {(kind, severity)}, summarise(findings)
    assert {f.where for f in findings} == ({where} if isinstance(where, str) else set(where))
    assert words in " ".join(f.message for f in findings)


def _vectors(folder, name="000001"):
    return folder / "new_joint_vecs" / f"{name}.npy"


def _replace(folder, features, name="000001"):
    """Other features of a clip, with joints and, as far as that goes, statistics that suit."""
    np.save(_vectors(folder, name), features)
    np.save(folder / "new_joints" / f"{name}.npy", features_to_joints(features))


def test_clean_folders_are_clean(clean, clean_packed, tmp_path, joints):
    assert check_folder(clean) == []
    assert check_folder(clean_packed) == []
    assert summarise([]) == "nothing wrong was found"
    kit = _finished(tmp_path / "KIT-ML", [_kit_joints(j) for j in joints], KIT)
    assert check_folder(kit) == []


def test_another_folder_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="neither a packed data set"):
            check_folder(folder)


def test_many_clips_are_checked_in_processes(folder):
    names = [f"{i:06d}" for i in range(100, 300)]
    for i, name in enumerate(names):
        np.save(_vectors(folder, name), np.load(_vectors(folder))[: 40 + i % 20])
        (folder / "texts" / f"{name}.txt").write_text(LINE.format("goes", name, "go"))
    shutil.rmtree(folder / "new_joints")
    (folder / "train.txt").write_text("\n".join([*(folder / "train.txt").open(), *names]))
    features = np.load(_vectors(folder, names[150]))
    features[3] = np.nan
    np.save(_vectors(folder, names[150]), features)
    seen = []
    found = check_folder(folder, lambda *state: seen.append(state), workers=2)
    assert seen[-1] == ("checking clips", 216, 216)
    broken = [f.where for f in found if f.what is Kind.NOT_FINITE]
    assert broken == [f"new_joint_vecs/{names[150]}.npy"]
    assert Kind.COPY in {f.what for f in found}


# Files and ids


def test_the_well_known_nan(folder):
    for name in ("007975", "M007975"):
        features = np.load(_vectors(folder))
        features[5:, 9] = np.nan
        np.save(_vectors(folder, name), features)
        shutil.copy(folder / "new_joints" / "000001.npy", folder / "new_joints" / f"{name}.npy")
        (folder / "texts" / f"{name}.txt").write_text(LINE.format("falls", 0, "fall"))
        with (folder / "test.txt").open("a") as file:
            file.write(f"{name}\n")
    where = ["new_joint_vecs/007975.npy", "new_joint_vecs/M007975.npy"]
    _only(check_folder(folder), Kind.NOT_FINITE, where, words="the first is 5")


BROKEN_ARRAYS = {
    "pickle": (lambda path, x: path.write_bytes(x.dumps()), Kind.UNREADABLE, "pickle"),
    "objects": (
        lambda path, x: np.save(path, np.array([x, None], dtype=object), allow_pickle=True),
        *(Kind.UNREADABLE, "pickle"),
    ),
    "cut": (lambda path, x: path.write_bytes(path.read_bytes()[:999]), Kind.UNREADABLE, "cut"),
    "empty": (lambda path, x: path.write_bytes(b""), Kind.UNREADABLE, "cut"),
    "integers": (lambda path, x: np.save(path, x.astype(int)), Kind.UNREADABLE, "int64"),
    "archive": (lambda path, x: np.savez(path.open("wb"), x), Kind.UNREADABLE, "archive"),
    "infinite": (lambda path, x: np.save(path, x / 0.0), Kind.NOT_FINITE, "frames"),
    "too large": (
        lambda path, x: np.save(path, np.full(x.shape, 1e99)),
        Kind.NOT_FINITE,
        "65 of 65",
    ),
    "KIT": (lambda path, x: np.save(path, x[:, :251]), Kind.SHAPE, "(65, 251)"),
    "batch": (lambda path, x: np.save(path, x[None]), Kind.SHAPE, "(T, 263)"),
    "no frames": (lambda path, x: np.save(path, x[:0]), Kind.SHAPE, "(0, 263)"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", BROKEN_ARRAYS)
def test_broken_arrays(folder, kind):
    breaks, expected, words = BROKEN_ARRAYS[kind]
    path = _vectors(folder, "000006")
    breaks(path, np.load(path))
    found = check_folder(folder)
    if kind != "empty":
        _only(found, expected, "new_joint_vecs/000006.npy", words=words)
    assert [f.what for f in found] == [expected]


def test_a_folder_in_place_of_a_file(folder):
    for path in (_vectors(folder, "000006"), folder / "val.txt"):
        path.unlink()
        path.mkdir()
    _append(folder, "train.txt", "000006")
    found = [f for f in check_folder(folder) if f.what is Kind.UNREADABLE]
    _only(found, Kind.UNREADABLE, "new_joint_vecs/000006.npy", words="cannot be read")


def test_missing_files(folder):
    (folder / "texts" / "000001.txt").unlink()
    (folder / "new_joints" / "000002.npy").unlink()
    _vectors(folder, "M000007").unlink()
    shutil.move(_vectors(folder, "M000006"), _vectors(folder, "000099"))
    found = check_folder(folder)
    assert {(f.what, f.where, f.severity) for f in found} == {
        (Kind.NO_TEXT, "texts/000001.txt", "error"),
        (Kind.MISSING, "new_joints/000002.npy", "warning"),
        (Kind.NO_DATA, "M000007", "error"),
        (Kind.NO_DATA, "M000006", "error"),
        (Kind.NO_SPLIT, "000099", "warning"),
    }


@pytest.mark.parametrize("name", ["texts", "new_joint_vecs", "val.txt", "Std.npy"])
def test_a_missing_folder_is_one_finding(folder, name):
    shutil.move(folder / name, folder / "elsewhere")
    found = [f for f in check_folder(folder) if f.what is not Kind.NO_SPLIT]
    _only(found, Kind.MISSING, name)


def _append(folder, file, name):
    with (folder / file).open("a") as out:
        out.write(f"{name}\n")


def test_ids_in_two_splits(folder):
    _append(folder, "test.txt", "000001")
    _append(folder, "train_val.txt", "000007")
    _only(check_folder(folder), Kind.LEAK, ["000001", "000007"], words="train.txt and in test.txt")


def test_a_mirror_image_in_another_split(folder):
    names = (folder / "train.txt").read_text().replace("M000004\n", "")
    (folder / "train.txt").write_text(names)
    _append(folder, "val.txt", "M000004")
    found = [f for f in check_folder(folder) if f.what is not Kind.COPY]
    _only(found, Kind.LEAK, "M000004", words="its mirror image 000004 in train.txt")


def test_an_id_twice_in_a_split(folder):
    _append(folder, "test.txt", "000007")
    _only(check_folder(folder), Kind.INDEX, "000007", "warning", "2 times in test.txt")


@pytest.mark.parametrize(("split", "severity"), [("test", "error"), ("train", "warning")])
@pytest.mark.parametrize("original", ["000002", "M000002"])
def test_the_same_motion_under_two_names(folder, split, severity, original):
    noise = np.random.default_rng(0).normal(0, 1e-5, (1, 263))
    for sub in ("new_joint_vecs", "new_joints"):
        shutil.copy(folder / sub / f"{original}.npy", folder / sub / "000050.npy")
    features = np.load(_vectors(folder, original))
    features[:, :259] += noise[:, :259]
    np.save(_vectors(folder, "000050"), features)
    (folder / "texts" / "000050.txt").write_text(LINE.format("copies", 50, "copy"))
    _append(folder, f"{split}.txt", "000050")
    _only(check_folder(folder), Kind.COPY, "000050", severity, "000002 again")


def test_clips_that_share_frames_of_a_recording(folder):
    rows = ["a.npy,0,100,000001.npy", "a.npy,90,200,000007.npy", "a.npy,200,300,000006.npy"]
    rows += ["b.npy,0,-1,000002.npy", "b.npy,50,90,000006.npy", "b.npy,0,9,none.npy"]
    header = "source_path,start_frame,end_frame,new_name"
    (folder / "index.csv").write_text("\n".join([header, *rows]))
    _only(check_folder(folder), Kind.LEAK, "index.csv", "warning", "2 pairs")
    (folder / "index.csv").write_text("a,b\n1,2\n")
    _only(check_folder(folder), Kind.UNREADABLE, "index.csv")


# Texts

TAGGED = "a/DET man/NOUN"
LINES = {
    f"#{TAGGED}#0.0#0.0": "empty",
    f"  #{TAGGED}#0.0#0.0": "empty",
    f"nan#{TAGGED}#0.0#0.0": "word 'nan'",
    f"a man\x07 falls#{TAGGED}#0.0#0.0": "control character '\\x07'",
    f"a man\ufffds hand#{TAGGED}#0.0#0.0": "decoding",
    f"...#{TAGGED}#0.0#0.0": "no word",
    "a man##0.0#0.0": "no tokens",
    "a man#a/DET man#0.0#0.0": "'man'",
    "a man#a/b/DET#0.0#0.0": "'a/b/DET'",
    f"a man#{TAGGED}": "caption#tokens#start#end",
    f"a man#{TAGGED}#0.0": "caption#tokens#start#end",
    f"a man#{TAGGED}#0.0#0.0#0.0": "caption#tokens#start#end",
    f"a man#{TAGGED}#0.0#x": "caption#tokens#start#end",
    f"a man#{TAGGED}#-1.0#2.5": "-1 to 2.5",
    f"a man#{TAGGED}#0.0#inf": "0 to inf",
    f"a man#{TAGGED}#2.5#0.2": "not after 2.5",
    f"a man#{TAGGED}#4.0#9.0": "starts at 4 s, the clip ends at 3.00",
}
ODD_LINES = {
    f"a man#{TAGGED}#nan#nan": (Kind.CAPTION, "nan"),
    f"a man#{TAGGED}#0.5#3.9": (Kind.CAPTION, "ends at 3.9"),
    f"a man#{TAGGED}#0.5#2.4": (Kind.TOO_SHORT, "1.90 s, under 2.00"),
}


@pytest.mark.parametrize("line", LINES)
def test_broken_lines(folder, line):
    (folder / "texts" / "000001.txt").write_text(f"a person walks#walk/VERB#0#0\n\n{line}\n")
    _only(check_folder(folder), Kind.CAPTION, "texts/000001.txt:3", words=LINES[line])


@pytest.mark.parametrize("line", ODD_LINES)
def test_lines_that_loaders_bear(folder, line):
    (folder / "texts" / "000001.txt").write_text(f"{line}\r\n")
    kind, words = ODD_LINES[line]
    _only(check_folder(folder), kind, "texts/000001.txt:1", "warning", words)


def test_texts_without_captions(folder):
    (folder / "texts" / "000001.txt").write_text("\n \n")
    _only(check_folder(folder), Kind.NO_TEXT, "texts/000001.txt", words="no caption")
    (folder / "texts" / "000001.txt").write_bytes(b"caf\xe9#a/X#0.0#0.0")
    _only(check_folder(folder), Kind.UNREADABLE, "texts/000001.txt", words="UTF-8")
    (folder / "train.txt").write_bytes(b"\xff\xfe")
    assert "train.txt" in {f.where for f in check_folder(folder) if f.what is Kind.UNREADABLE}


def test_captions_of_training_in_test(folder):
    shutil.copy(folder / "texts" / "000001.txt", folder / "texts" / "000007.txt")
    found = check_folder(folder)
    _only(found, Kind.SHARED, "captions of test", "warning", "1 of 2 are in train")


# Motion


def _of(joints, take=1, retarget=True):
    return joints_to_features(joints[take], retarget)


@pytest.mark.parametrize(("frames", "kind"), [(39, Kind.TOO_SHORT), (200, Kind.TOO_LONG)])
def test_lengths(folder, frames, kind):
    features = np.load(_vectors(folder))
    still = np.tile(features[:1], (frames, 1))
    blocks = feature_blocks(HUMANML3D)
    still[:, :3] = still[:, blocks[5] : blocks[6]] = 0
    still[:, blocks[6] :] = 1
    _replace(folder, features[:frames] if frames < 60 else still)
    found = [f for f in check_folder(folder) if f.what is not Kind.STATISTICS]
    _only(found, kind, "000001", "warning")


@pytest.mark.parametrize(
    ("factor", "words"), [(100, "centimetres"), (1000, "millimetres"), (39.37, "inches"), (0.3, "")]
)
def test_other_units(folder, joints, factor, words):
    _replace(folder, joints_to_features(joints[6] * factor, retarget=False), "000006")
    _only(check_folder(folder), Kind.UNIT, "000006", words=words)


def test_kit_in_metres(tmp_path, joints):
    kit = _finished(tmp_path / "KIT-ML", [_kit_joints(j) / 1000 for j in joints], KIT)
    found = [f for f in check_folder(kit) if f.severity == "error"]
    assert len(found) == 16 and {f.what for f in found} == {Kind.UNIT}
    assert "expected 400 to 2500: metres?" in found[0].message or "0.8" in found[0].message


def _laid(joints):
    """Z up in place of Y up."""
    return joints[..., [0, 2, 1]] * np.float32([1, -1, 1])


def test_z_up(tmp_path, folder, joints):
    whole = _finished(tmp_path / "all", [_laid(j) for j in joints])
    _only(check_folder(whole), Kind.AXES, "all clips", words="16 of 16 clips lie along Z")
    _replace(folder, joints_to_features(_laid(joints[6])), "000006")
    _only(check_folder(folder), Kind.AXES, "000006", "warning", "lies")


def test_upside_down(tmp_path, joints):
    turned = [j * np.float32([-1, -1, 1]) for j in joints]
    found = check_folder(_finished(tmp_path / "all", turned))
    _only(found, Kind.AXES, "all clips", words="upside down")


def _turned(features, degrees):
    """Features whose frame 0 does not face Z+, otherwise as good as before."""
    turned, angle = features.copy(), math.radians(degrees)
    blocks = feature_blocks(HUMANML3D)
    for first, end in ((4, blocks[4]), (blocks[5], blocks[6])):
        x, z = features[:, first:end:3], features[:, first + 2 : end : 3]
        turned[:, first:end:3] = math.cos(angle) * x + math.sin(angle) * z
        turned[:, first + 2 : end : 3] = math.cos(angle) * z - math.sin(angle) * x
    x, z = features[:, 1], features[:, 2]
    turned[:, 1] = math.cos(angle) * x + math.sin(angle) * z
    turned[:, 2] = math.cos(angle) * z - math.sin(angle) * x
    return turned


@pytest.mark.parametrize("degrees", [30, 90, 180])
def test_wrong_facing(folder, degrees):
    _replace(folder, _turned(np.load(_vectors(folder, "000006")), degrees), "000006")
    _only(check_folder(folder), Kind.PLACE, "000006", words=f"{degrees} degrees away from Z+")


@pytest.mark.parametrize(("height", "words"), [(0.4, "0.40 m over"), (-0.9, "0.90 m under")])
def test_off_the_floor(folder, height, words):
    features = np.load(_vectors(folder, "000006"))
    features[:, [3, *range(5, 67, 3)]] += height
    _replace(folder, features, "000006")
    _only(check_folder(folder), Kind.PLACE, "000006", words=words)


def test_joints_off_the_origin(folder):
    path = folder / "new_joints" / "000001.npy"
    np.save(path, np.load(path) + np.float32([2, 0, 0]))
    found = check_folder(folder)
    assert {f.what for f in found} == {Kind.PLACE, Kind.DISAGREE}
    assert {f.where for f in found} == {"new_joints/000001.npy"}
    assert "2.00 m off the origin" in found[0].message


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_broken_joints(folder):
    path = folder / "new_joints" / "000001.npy"
    joints = np.load(path)
    for wrong, kind in (
        (joints * 1.2, Kind.DISAGREE),
        (joints[:40], Kind.DISAGREE),
        (joints / 0, Kind.NOT_FINITE),
        (joints[:, :21], Kind.SHAPE),
    ):
        np.save(path, wrong)
        _only(check_folder(folder), kind, "new_joints/000001.npy")


def test_swapped_sides(folder, joints):
    swapped = joints[6][:, list(HUMANML3D.mirror)]
    _replace(folder, joints_to_features(swapped), "000006")
    _only(check_folder(folder), Kind.SIDES, "000006", words="backward")


def test_another_order_of_joints(folder, joints):
    order = list(range(22))
    order[12:16] = 15, 12, 13, 14
    _replace(folder, joints_to_features(joints[6][:, order], retarget=False), "000006")
    _only(check_folder(folder), Kind.BONES, "000006", words="m long, expected")


def test_a_bone_that_stretches(folder, joints):
    stretched = joints[6].copy()
    stretched[20:23, 20] += np.float32([0.3, -0.4, 0])
    _replace(folder, joints_to_features(stretched, retarget=False), "000006")
    found = [f for f in check_folder(folder) if f.what is not Kind.PLACE]
    _only(found, Kind.BONES, "000006", words="to the left_wrist changes")


BLOCKS = {
    "velocities": (slice(193, 256), lambda x: x + 0.02, "error", "velocities are 0.035"),
    "flipped contacts": (slice(259, 263), lambda x: 1 - x, "warning", "% of contacts"),
    "soft contacts": (slice(259, 263), lambda x: x * 0.9, "error", "else than 0 and 1"),
    "rotations": (slice(67, 193), lambda x: x * 1.1, "error", "0.21 off unit length"),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_that_disagree(folder, block):
    columns, breaks, severity, words = BLOCKS[block]
    features = np.load(_vectors(folder, "000006"))
    features[:, columns] = breaks(features[:, columns])
    _replace(folder, features, "000006")
    _only(check_folder(folder), Kind.DISAGREE, "000006", severity, words)


# Statistics


def _evaluators(values):
    values[[*range(4), *range(259, 263)]] /= 25
    return values


STATISTICS = {
    "size": ("Mean", lambda x: x[:251], "shape (251,)"),
    "nan": ("Mean", lambda x: x * np.nan, "NaN"),
    "other mean": ("Mean", lambda x: x + np.eye(263)[3] * 0.5, "features 3 are"),
    "zero": ("Std", lambda x: x * (np.arange(263) != 9), "1 deviations are not above 0"),
    "double": ("Std", lambda x: x * 2, "in the training clips"),
    "evaluator's": ("Std", _evaluators, "25 times too small"),
}


@pytest.mark.parametrize("kind", STATISTICS)
def test_wrong_statistics(folder, kind):
    name, breaks, words = STATISTICS[kind]
    path = folder / f"{name}.npy"
    np.save(path, breaks(np.load(path)).astype(np.float32))
    _only(check_folder(folder), Kind.STATISTICS, name.lower(), words=words)


def test_statistics_are_not_compared_with_a_few_clips(folder):
    for take in range(1, 6):
        _vectors(folder, f"{take:06d}").unlink()
    np.save(folder / "Std.npy", np.load(folder / "Std.npy") * 2)
    assert {f.what for f in check_folder(folder)} == {Kind.NO_DATA}


# Packed sets


def _edit(packed, name, change):
    value = json.loads((packed / name).read_text())
    value = change(value) or value
    (packed / name).write_text(json.dumps(value))


def _set(packed, key, value, index=0, name="clips.json"):
    _edit(packed, name, lambda table: table[index].__setitem__(key, value))


def _found(packed):
    """Findings but for the files that the tests change."""
    found = check_folder(packed)
    assert Kind.CHANGED in {f.what for f in found}
    return [f for f in found if f.what is not Kind.CHANGED]


def test_changed_and_missing_files(packed):
    content = bytearray((packed / "bones.npy").read_bytes())
    content[-1] ^= 1
    (packed / "bones.npy").write_bytes(content)
    (packed / "inputs.json").unlink()
    found = check_folder(packed)
    assert {(f.what, f.where) for f in found if f.severity == "error"} == {
        (Kind.CHANGED, "bones.npy"),
        (Kind.MISSING, "inputs.json"),
    }


@pytest.mark.parametrize("name", ["dataset.json", "clips.json", "captions.json", "mean.npy"])
def test_damaged_tables(packed, name):
    (packed / name).write_bytes((packed / name).read_bytes()[:50])
    found = [f for f in check_folder(packed) if f.what is not Kind.CHANGED]
    _only(found, Kind.INDEX, "toy", words="damaged")


def test_a_take_in_two_splits(packed):
    take = MotionDataset.load(packed).clips[-1].take
    _set(packed, "split", "val", -1)
    found = [f for f in _found(packed) if f.severity == "error" and f.what is not Kind.INDEX]
    _only(found, Kind.LEAK, take, words="test, val")


def test_made_of_another_split(packed):
    dataset = MotionDataset.load(packed)
    part, clip = dataset.split("test")[0], dataset.split("train")[0]
    index = dataset.clips.index(clip)
    _set(packed, "made", f"joined of {clip.name} 0:30, {part.name} 4:60", index)
    _only(_found(packed), Kind.LEAK, clip.name, words=f"made of {part.name}, which is in test")


CLIP_EDITS = {
    "source": ({"source": "elsewhere"}, Kind.INDEX, "error"),
    "captions": ({"captions": [], "parts": []}, Kind.NO_TEXT, "error"),
    "parts": ({"parts": [[0, 0.5, 99.0]]}, Kind.CAPTION, "warning"),
    "short": ({"length": 15, "parts": []}, Kind.TOO_SHORT, "warning"),
}


@pytest.mark.parametrize("name", CLIP_EDITS)
def test_clips_at_odds(packed, name):
    change, kind, severity = CLIP_EDITS[name]
    _edit(packed, "clips.json", lambda clips: clips[4].update(change))
    _only(_found(packed), kind, "clip2", severity)


def test_names_and_counts(packed):
    _edit(packed, "clips.json", lambda clips: clips[5].update(name=clips[6]["name"]))
    _edit(packed, "dataset.json", lambda info: info["clips"].update(train=1))
    found = _found(packed)
    assert {f.what for f in found} == {Kind.INDEX} and len(found) == 2


def test_captions_of_a_packed_set(packed):
    _set(packed, "text", "", 0, "captions.json")
    _set(packed, "tokens", "walks", 1, "captions.json")
    where = ["captions.json, entry 0", "captions.json, entry 1"]
    _only(_found(packed), Kind.CAPTION, where)


def test_motion_of_a_packed_set(packed):
    dataset = MotionDataset.load(packed)
    clips = [clip for clip in dataset.split("val") if not clip.mirrored]
    root = np.load(packed / "root.npy")
    rows = slice(clips[0].start, clips[0].start + clips[0].length + 1)
    for change, kind, words in (
        ((1.0, 0.0, 0.0), Kind.PLACE, "1.00 m off the origin"),
        ((0.0, 0.5, 0.0), Kind.PLACE, "0.50 m over the floor"),
        ((np.nan, 0.0, 0.0), Kind.NOT_FINITE, "frames"),
    ):
        moved = root.copy()
        moved[rows] += np.float32(change)
        np.save(packed / "root.npy", moved)
        _only(_found(packed), kind, clips[0].name, words=words)


def test_statistics_of_a_packed_set(packed):
    np.save(packed / "std.npy", np.load(packed / "std.npy") / 3)
    _only(_found(packed), Kind.STATISTICS, "std")


def test_packed_features_and_copies(tmp_path, joints):
    samples = [
        Sample(
            f"clip{i}",
            f"take{i}",
            split,
            [Caption(f"he does {i}", "he/PRON")],
            features=_of(joints, take),
        )
        for i, (split, take) in enumerate([("train", 0), ("train", 1), ("test", 2), ("val", 1)])
    ]
    samples[0].features[:, 193:259] += 0.05
    write_dataset(tmp_path / "toy", Prepared(samples, {"toys": SOURCE}), "toy")
    found = check_folder(tmp_path / "toy")
    assert {(f.what, f.where) for f in found} == {
        (Kind.DISAGREE, "clip0"),
        (Kind.COPY, "clip3"),
    }


# The account


def test_summary_counts_and_names_a_few():
    found = [Finding(f"{i:06d}", Kind.NO_DATA, "not there") for i in range(14000)]
    found += [Finding("a.npy", Kind.NOT_FINITE, "3 of 9 frames", "warning")]
    found += [Finding(f"t{i}", Kind.CAPTION, f"line {i}") for i in range(9)]
    text = summarise(found)
    assert "14000  id without data" in text and "000003 and 13996 more: not there" in text
    assert "000004" not in text and "a.npy: 3 of 9 frames" in text and "and 5 more" in text
    assert text.endswith("14009 errors, 1 warning")


def test_the_published_split_files(shared_data):
    found = check_folder(shared_data / "humanml3d")
    kinds = {kind: [f for f in found if f.what is kind] for kind in {f.what for f in found}}
    assert set(kinds) == {Kind.MISSING, Kind.NO_DATA, Kind.LEAK}
    assert [f.where for f in kinds[Kind.MISSING]] == ["texts"]
    assert len(kinds[Kind.NO_DATA]) == 29227
    assert [f.severity for f in kinds[Kind.LEAK]] == ["warning"]
    assert len(summarise(found).splitlines()) < 20
