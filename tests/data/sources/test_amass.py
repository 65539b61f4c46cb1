import csv
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from amass_files import body_arrays, recording, slow_joints, write_bodies, write_new, write_old

from motionmamba.data import MotionDataset, write_dataset
from motionmamba.data.packed import Caption
from motionmamba.data.sources.amass import RENAMED, prepare_amass, read_index
from motionmamba.motion.features import joints_to_features

# recordings: name in index.csv, that of a newer release, fps, gender, frames
CMU = ("CMU/80/80_63", "CMU/80/80_63", 120.0, "male", 1000)
EYES = (
    "Eyes_Japan_Dataset/hamada/pose-06-hang  on-hamada",
    "EyesJapanDataset/hamada/pose-06-hang_on-hamada",
    120.0,
    "female",
    800,
)
HDM = ("MPI_HDM05/mm/HDM_mm_08", "HDM05/mm/HDM_mm_08", 59.0, "male", 240)
TOTAL = ("TotalCapture/s3/walking2", "TotalCapture/s3/walking2", 60.0, "male", 240)
LIMITS = ("MPI_Limits/03099/op3", "PosePrior/03099/op3", 250.0, "female", 1000)
MOVES = ("Transitions_mocap/mazen/punch", "Transitions/mazen/punch", 119.9, "male", 500)
RECORDINGS = (CMU, EYES, HDM, TOTAL, LIMITS, MOVES)
HUMANACT = "humanact12/humanact12/P01G01R01F0001T0066A0101"
ROWS = [  # clip, recording, start, end
    ("000001", CMU[0], 10, 70),
    ("000002", CMU[0], 60, 167),
    ("000003", EYES[0], 5, 74),
    ("000004", HDM[0], 3, 60),
    ("000005", TOTAL[0], 0, 60),
    ("000006", LIMITS[0], 0, 64),
    ("000007", MOVES[0], 7, 90),
    ("000008", HUMANACT, 0, -1),
]
SPLITS = {"train": "000001 000002 000003 000004 000008", "val": "000005 000006", "test": "000007"}
TRIMS = {"Eyes_Japan_Dataset": 60, "MPI_HDM05": 60, "TotalCapture": 20, "MPI_Limits": 20}
LINE = "he waves with the left hand#he/PRON wave/VERB#0.0#0.0\n"
OTHER = "he waves with the right hand"


class World:
    """All that a user brings, made up, in a folder."""

    def __init__(self, folder):
        self.source, self.models = folder / "amass", folder / "models"
        self.index, self.texts = folder / "index.csv", folder / "texts"
        self.splits, self.humanact12 = folder / "lists", folder / "pose_data" / "humanact12"
        self.takes = {}
        for path in (self.texts, self.splits, self.humanact12):
            path.mkdir(parents=True)
        write_bodies(self.models)
        for seed, (name, _, fps, gender, frames) in enumerate(RECORDINGS):
            self.takes[name] = recording(frames, seed=seed)
            write_old(self.old(name), fps, gender, **self.takes[name])
        joints = slow_joints(body_arrays(), *recording(90, 22, seed=9).values())[..., [0, 2, 1]] * [
            -1,
            1,
            1,
        ]
        self.humanact12_joints = joints.astype(np.float32)
        np.save(self.humanact12 / f"{HUMANACT.split('/')[-1]}.npy", self.humanact12_joints)
        self.write_index(ROWS)
        for name, *_ in ROWS:
            (self.texts / f"{name}.txt").write_text(LINE)
        for split, names in SPLITS.items():
            mirrored = [f"M{name}" for name in names.split()]
            (self.splits / f"{split}.txt").write_text("\n".join([*names.split(), *mirrored]))

    def old(self, name):
        return self.source / f"{name}_poses.npz"

    def write_index(self, rows):
        with self.index.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["source_path", "start_frame", "end_frame", "new_name"])
            for name, take, start, end in rows:
                suffix = "" if "humanact12" in take else "_poses"
                table.writerow([f"./pose_data/{take}{suffix}.npy", start, end, f"{name}.npy"])

    def prepare(self, **options):
        places = {"splits": self.splits, "humanact12": self.humanact12, "workers": 1} | options
        return prepare_amass(self.source, self.models, self.index, self.texts, **places)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def notebook_joints(take, fps, gender, subset, start, end):
    """Steps of raw_pose_processing.ipynb, frame by frame."""
    body = body_arrays(seed=0 if gender == "male" else 1)
    matrix = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    frames = []
    for frame in range(0, len(take["trans"]), int(fps / 20)):
        poses = take["poses"][frame : frame + 1, :66]
        one = slow_joints(body, poses, np.zeros((1, 3)), take["betas"][:10])
        frames.append(np.dot(one[0] + take["trans"][frame], matrix))
    data = np.stack(frames)
    data = data[TRIMS.get(subset, int(0.5 * 20) if subset == "Transitions_mocap" else 0) :]
    data = data[start:end]
    data[..., 0] *= -1
    return data


def swap_left_right(data):
    data = data.copy()
    data[..., 0] *= -1
    right, left = [2, 5, 8, 11, 14, 17, 19, 21], [1, 4, 7, 10, 13, 16, 18, 20]
    data[:, right], data[:, left] = data[:, left], data[:, right]
    return data


def test_clips_are_those_of_the_notebooks(world, tmp_path):
    prepared = world.prepare()
    assert prepared.dropped == {}
    expected = {}
    for name, take, start, end in ROWS:
        if take == HUMANACT:
            expected[name] = world.humanact12_joints
            continue
        _, _, fps, gender, _ = next(r for r in RECORDINGS if r[0] == take)
        subset = take.split("/")[0]
        expected[name] = notebook_joints(world.takes[take], fps, gender, subset, start, end)
    joints = {sample.name: sample.joints for sample in prepared.samples}
    assert list(joints) == list(expected)
    for name, data in expected.items():
        assert joints[name].dtype == np.float32
        np.testing.assert_allclose(joints[name], data, atol=2e-6)

    dataset = write_dataset(tmp_path / "packed", prepared, "humanml3d")
    clips = {clip.name: clip for clip in dataset.clips}
    assert sorted(clips) == sorted([*expected, *(f"M{name}" for name in expected)])
    for name, clip in clips.items():
        data = expected[name.removeprefix("M")]
        data = swap_left_right(data) if name[0] == "M" else data
        features = joints_to_features(data, fold=False)
        found = dataset.features(clip)
        assert found.shape == features.shape == (len(data) - 1, 263)
        off = np.abs(found - features)
        # Rotations feel the quantisation. The packed set mirrors joints that are fitted already,
        # and so takes the made-up bodies' legs, which differ by percents, for equal ones.
        close = 6e-3 if name[0] == "M" else 4e-4
        assert (
            off[:, 67:193].max() < 6e-3 and np.delete(off, range(67, 193), 1)[:, :-4].max() < close
        )
        assert np.mean(off[:, -4:] > 0.5) < 0.1
        assert clip.split == next(s for s, ids in SPLITS.items() if name[-6:] in ids)
        texts = [dataset.captions[i] for i in clip.captions]
        assert texts == [OTHER if name[0] == "M" else LINE.split("#")[0]]
    assert clips["000003"].source == "Eyes_Japan_Dataset"
    assert "not be redistributed" in dataset.info["sources"]["CMU"]["licence"]


def test_the_account(world):
    account = world.prepare().settings["account"]
    assert account["CMU"] == {
        "found": 1,
        "missing": 0,
        "other_rate": 0,
        "clips": 2,
        "shortened": 0,
        "dropped": {},
    }
    assert set(account) == {take.split("/")[0] for _, take, *_ in ROWS}


def _newest(world, fps=None, **options):
    """The same recordings with the names of a newer release, and perhaps another frame rate."""
    shutil.rmtree(world.source)
    for name, new, rate, gender, _ in RECORDINGS:
        take = dict(world.takes[name])
        write_new(world.source / f"{new}_stageii.npz", fps or rate, gender, **take, **options)


@pytest.mark.parametrize("fps", [None, 120.0, 30.0])
def test_newer_files_give_the_same_clips(world, fps):
    """Whatever frame rate they give: every recording has a slice that ends where it ends."""
    old = world.prepare()
    world.write_index([row for row in ROWS if row[1] != HUMANACT])
    _newest(world, fps)
    new = world.prepare()
    assert not new.dropped
    assert [s.name for s in new.samples] == [s.name for s in old.samples][:-1]
    for a, b in zip(old.samples, new.samples, strict=False):
        np.testing.assert_array_equal(a.joints, b.joints)
    other = sum(account["other_rate"] for account in new.settings["account"].values())
    assert other == {None: 0, 120.0: 4, 30.0: 6}[fps]


def test_a_recording_of_two_releases_counts_once(world):
    write_new(world.source / "CMU/80/80_63_stageii.npz", **dict(world.takes[CMU[0]]))
    prepared = world.prepare()
    assert list(prepared.dropped) == ["CMU/80/80_63_stageii.npz"]
    assert prepared.settings["account"]["CMU"]["found"] == 1 and len(prepared.samples) == 8
    world.old(CMU[0]).write_bytes(b"broken")
    prepared = world.prepare()
    assert list(prepared.dropped) == ["CMU/80/80_63_poses.npz"] and len(prepared.samples) == 8


def test_smplx_bodies_and_whole_poses(world):
    write_bodies(world.models, ["smplx"])
    old = {s.name: s.joints for s in world.prepare().samples}
    take = dict(world.takes[CMU[0]])
    wide = np.concatenate([take["poses"][:, :66], np.ones((1000, 9)), take["poses"][:, 66:]], 1)
    world.old(CMU[0]).unlink()
    write_new(world.source / "CMU/80/80_63_stageii.npz", kind="smplx", **take)
    parts = {s.name: s.joints for s in world.prepare().samples}
    world.source.joinpath("CMU/80/80_63_stageii.npz").unlink()
    write_old(world.old(CMU[0]), **take | {"poses": wide})
    whole = {s.name: s.joints for s in world.prepare().samples}
    for name in ("000001", "000002"):
        np.testing.assert_array_equal(parts[name], whole[name])
        assert np.abs(parts[name] - old[name]).max() > 1e-3
    shutil.rmtree(world.models / "smplx")
    reason = "no body: it is of a male SMPL-X body, which models lack"
    assert world.prepare().dropped == {"CMU/80/80_63_poses.npz": reason}


def test_bodies_by_gender(world):
    """Bytes are female, as to the notebook; a neutral body stands in."""

    def joints(gender):
        write_old(world.old(CMU[0]), gender=gender, **world.takes[CMU[0]])
        return next(s.joints for s in world.prepare().samples if s.name == "000001")

    male, female, neutral = joints("male"), joints("female"), joints("neutral")
    assert np.abs(male - female).max() > 1e-3 and np.abs(neutral - female).max() > 1e-3
    np.testing.assert_array_equal(joints(b"male"), female)
    (world.models / "smplh" / "male" / "model.npz").rename(world.models / "SMPLH_MALE.npz")
    np.testing.assert_array_equal(joints("male"), male)
    (world.models / "SMPLH_MALE.npz").write_bytes(b"broken")
    np.testing.assert_array_equal(joints("male"), neutral)
    assert "no SMPL" in world.prepare().dropped["models/smplh_male.npz"]


def _nan(world, path, take):
    take["trans"][420] = np.nan  # frame 70 at 20 fps: in the second clip of two
    write_old(path, **take)


def _cut(world, path, take):
    path.write_bytes(path.read_bytes()[:20000])


def _damaged(world, path, take):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 9] = bytes(9)
    path.write_bytes(content)


def _pickle(world, path, take):
    write_old(path, **take | {"betas": np.array([1.0, None], dtype=object)})


def _pickled_whole(world, path, take):
    path.write_bytes(np.array([take], dtype=object).dumps())


def _rate(world, path, take):
    write_old(path, 0.0, **take)


def _narrow(world, path, take):
    write_old(path, **take | {"poses": take["poses"][:, :72]})


def _uneven(world, path, take):
    write_old(path, **take | {"trans": take["trans"][:-1]})


def _no_betas(world, path, take):
    np.savez(path, **{k: v for k, v in np.load(path).items() if k != "betas"})


def _words(world, path, take):
    write_old(path, **take | {"betas": np.array(["a"])})


BAD_FILES = {
    "unreadable: it is no .npz file, or cut short": (_cut, _pickled_whole),
    "unreadable: its betas is a pickle, which is never loaded": (_pickle,),
    "unreadable: its poses is damaged": (_damaged,),
    "wrong frame rate: [0.0], expected 20 or more": (_rate,),
    "wrong shape: poses (1000, 72), not of SMPL-H or SMPL-X": (_narrow,),
    "wrong shape: poses (1000, 66) and trans (999, 3)": (_uneven,),
    "incomplete: it has no betas": (_no_betas,),
    "unreadable: its betas is <U1, no numbers": (_words,),
}


@pytest.mark.parametrize("reason", BAD_FILES)
def test_bad_files_are_dropped(world, reason):
    for spoil in BAD_FILES[reason]:
        write_old(world.old(CMU[0]), **world.takes[CMU[0]])
        spoil(world, world.old(CMU[0]), dict(world.takes[CMU[0]]))
        prepared = world.prepare()
        assert prepared.dropped == {"CMU/80/80_63_poses.npz": reason}
        account = prepared.settings["account"]["CMU"]
        assert account["clips"] == 0 and account["dropped"] == {reason.split(":")[0]: 2}
        assert len(prepared.samples) == 6


def test_bad_clips_are_dropped_one_by_one(world):
    _nan(world, world.old(CMU[0]), dict(world.takes[CMU[0]]))
    more = [
        ("000011", EYES[0], 60, 200),  # ends after 74
        ("000012", EYES[0], 100, 140),
        ("000013", HDM[0], 0, 41),
        ("000014", HDM[0], 0, 40),
        ("000015", "KIT/3/kick", 0, 90),
        ("000016", "KIT/3/kick", 90, 150),
        ("000017", TOTAL[0], 0, 58),
        ("000018", EYES[0], 10, 94),  # 20 frames more than there are
    ]
    world.write_index(ROWS + more)
    for name in ("000013", "000018"):
        (world.texts / f"{name}.txt").write_text(LINE)
    (world.texts / "000004.txt").unlink()
    (world.texts / "000007.txt").write_text("no caption#here\n\n")
    (world.texts / "000006.txt").write_bytes(b"caf\xe9#a/X#0.0#0.0")
    with (world.splits / "train.txt").open("a") as file:
        file.write("\n000013\n000017\nM000017\n000018")
    prepared = world.prepare()
    assert prepared.dropped == {
        "000002": "NaN or infinite",
        "000004": "no text",
        "000006": "no caption in its text",
        "texts/000006.txt": "not UTF-8",
        "000007": "no caption in its text",
        "texts/000007.txt:1": "not caption#tokens#start#end",
        "000011": "past the end: 60 to 200 of 74 frames",
        "000012": "past the end: 100 to 140 of 74 frames",
        "000014": "under 40 frames",
        "KIT/3/kick_poses.npz": "missing: 2 clips are cut from it",
        "000017": "no text",
    }
    clips = {s.name: s for s in prepared.samples}
    assert sorted(clips) == ["000001", "000003", "000005", "000008", "000013", "000018"]
    assert len(clips["000018"].joints) == 64 and len(clips["000013"].joints) == 41
    assert clips["000013"].mirrored_captions == []
    account = prepared.settings["account"]
    assert account["KIT"]["missing"] == 1 and account["KIT"]["dropped"] == {"missing": 2}
    assert account["Eyes_Japan_Dataset"]["shortened"] == 1
    assert account["Eyes_Japan_Dataset"]["dropped"] == {"past the end": 2}
    assert account["CMU"]["dropped"] == {"NaN or infinite": 1}


def test_long_humanact12_and_no_list(world):
    path = next(world.humanact12.glob("*.npy"))
    np.save(path, np.tile(world.humanact12_joints, (3, 1, 1)))
    (world.splits / "test.txt").write_text("")
    dropped = world.prepare().dropped
    assert dropped == {"000007": "in no split list", "000008": "200 frames or more"}
    for content, reason in ((b"none", "unreadable"), (b"", "unreadable")):
        path.write_bytes(content)
        assert world.prepare().dropped[path.name].startswith(reason)
    np.save(path, np.zeros((60, 21, 3)))
    assert "wrong shape" in world.prepare().dropped[path.name]


def test_texts(world):
    """Lines with times are parts of a clip, by the official rule; those of M copies are theirs."""
    (world.texts / "000002.txt").write_text(
        "whole#a/X#nan#nan\npart to the left#b/X#1.26#4.99\nshort#c/X#1.0#2.95\n"
        "to the end, right#d/X#2.0#99.0\nnone#e/X#0#0#0\n"
    )
    (world.texts / "M000001.txt").write_text("his own words#his/PRON#0.0#0.0\n")
    (world.texts / "M000003.txt").write_text("\n")
    prepared = world.prepare()
    clips = {s.name: s for s in prepared.samples}
    assert clips["000002"].captions == [Caption("whole", "a/X")]
    assert clips["000002"].parts == [
        (Caption("part to the left", "b/X"), 1.26, 4.99),
        (Caption("to the end, right", "d/X"), 2.0, 99.0),
    ]
    assert clips["000002"].mirrored_captions == ["whole"]
    assert [part[0] for part in clips["000002"].mirrored_parts] == [
        "part to the right",
        "to the end, left",
    ]
    assert clips["000001"].mirrored_captions == [Caption("his own words", "his/PRON")]
    assert clips["000003"].mirrored_captions == []
    assert prepared.dropped == {
        "texts/000002.txt:3": "part under 40 frames",
        "texts/000002.txt:5": "not caption#tokens#start#end",
        "texts/M000003.txt": "no caption",
        "M000003": "no caption in its text",
    }
    assert {"index.csv", "texts/000002.txt", "texts/M000001.txt"} < set(prepared.inputs)


def test_without_lists_a_recording_is_in_one_split(world):
    rows = [(f"{i:06d}", f"CMU/80/80_{i // 2}", 10 * (i % 2), 167) for i in range(60)]
    world.write_index(rows)
    for i in range(30):
        shutil.copy(world.old(CMU[0]), world.old(f"CMU/80/80_{i}"))
    for name, *_ in rows:
        (world.texts / f"{name}.txt").write_text(LINE)
    samples = world.prepare(splits=None, humanact12=None).samples
    assert {s.split for s in samples} == {"train", "val", "test"}
    split_of = {s.name: s.split for s in samples}
    assert all(split_of[f"{i:06d}"] == split_of[f"{i + 1:06d}"] for i in range(0, 60, 2))
    assert all(s.mirrored_captions for s in samples)


def test_archives_and_going_on(world, tmp_path):
    expected = world.prepare()
    archive = tmp_path / "amass.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as out:
        out.add(world.source, "amass")
    world.source, work, seen = archive, tmp_path / "work", []
    first = world.prepare(work=work, progress=lambda *told: seen.append(told))
    assert seen[-1] == ("reading recordings", 7, 7)
    kept = {path: path.stat().st_mtime_ns for path in work.iterdir()}
    second = world.prepare(work=work)
    assert {path: path.stat().st_mtime_ns for path in work.iterdir()} == kept
    for prepared in (first, second):
        for a, b in zip(expected.samples, prepared.samples, strict=True):
            np.testing.assert_array_equal(a.joints, b.joints)
            assert (a.name, a.captions) == (b.name, b.captions)
    world.write_index([(name, take, start, end - 1) for name, take, start, end in ROWS])
    assert len(world.prepare(work=work).samples[0].joints) == 59


def _no_source(world):
    world.source = world.source / "nowhere"


def _empty_source(world):
    shutil.rmtree(world.source)
    shutil.rmtree(world.humanact12)
    world.source.mkdir(), world.humanact12.mkdir()


def _no_bodies(world):
    shutil.rmtree(world.models / "smplh")


def _broken_bodies(world):
    for path in world.models.rglob("model.npz"):
        path.write_bytes(b"broken")


def _broken_index(world):
    world.index.write_text("a,b\n1,2\n")


def _empty_index(world):
    world.write_index([])


def _twice(world):
    world.write_index([*ROWS, ROWS[0]])


def _missing_list(world):
    (world.splits / "val.txt").unlink()


def _in_two(world):
    with (world.splits / "val.txt").open("a") as file:
        file.write("\nM000001")


def _no_texts(world):
    shutil.rmtree(world.texts)


def _nothing_for_training(world):
    (world.splits / "train.txt").write_text("")


REFUSED = {
    "nowhere does not exist": _no_source,
    "holds none of the 7 recordings": _empty_source,
    "has no SMPL-H or SMPL-X model": _no_bodies,
    "get one from the models' sites; .* is no SMPL": _broken_bodies,
    "is not HumanML3D's index.csv": _broken_index,
    "index.csv has no rows": _empty_index,
    "has 2 rows for the clip 000001": _twice,
    "have no val.txt": _missing_list,
    r"000001 or its mirrored copy is in train\.txt and in val\.txt": _in_two,
    "texts does not exist": _no_texts,
    "gives no clip for training; 000001: in no split list": _nothing_for_training,
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_sources_are_refused(world, message):
    REFUSED[message](world)
    with pytest.raises(ValueError, match=message) as error:
        world.prepare()
    assert "\n" not in str(error.value)


def test_the_official_index(shared_data):
    """Names of recordings stay apart, and shorter slices are the last of their recording."""
    slices = read_index(shared_data / "humanml3d" / "index.csv")
    pieces = [piece for group in slices.values() for piece in group]
    assert len(pieces) == 14616 and len(slices) == len({piece.file for piece in pieces})
    assert set(RENAMED.values()) <= {piece.subset for piece in pieces}
    for group in slices.values():
        short = [p.end for p in group if p.end > 0 and p.end - p.start < 200]
        assert len(short) <= 1 and all(end == max(p.end for p in group) for end in short)


def test_a_packed_set_loads_again(world, tmp_path):
    dataset = write_dataset(tmp_path / "packed", world.prepare(), "humanml3d")
    again = MotionDataset.load(dataset.folder)
    assert [clip.name for clip in again.clips] == [clip.name for clip in dataset.clips]
    assert again.info["settings"]["account"]["CMU"]["clips"] == 2


def test_the_command_accounts_for_every_sub_dataset(world, tmp_path):
    script = Path(__file__).parents[3] / "scripts" / "prepare_dataset.py"
    places = {"source": world.source, "models": world.models, "index": world.index}
    places |= {"texts": world.texts, "splits": world.splits, "humanact12": world.humanact12}
    options = [text for name, path in places.items() for text in (f"--{name}", str(path))]
    command = [sys.executable, script, "amass", *options, "--out", tmp_path / "packed"]
    environment = os.environ | {"PYTHONPATH": str(script.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "sub-dataset" in done.stdout and "MPI_HDM05" in done.stdout
    assert len(MotionDataset.load(tmp_path / "packed").clips) == 2 * len(ROWS)
