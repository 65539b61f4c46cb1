import csv
import re
import tarfile
from functools import partial

import numpy as np
import pytest
from cmu_files import amc_text, asf_text, daz_bvh, write_subject

from motionmamba.data.sources import cmu, cmu_captions
from motionmamba.data.sources.cmu import Book, prepare_cmu, read_trial
from motionmamba.data.sources.cmu_captions import read_description
from motionmamba.data.sources.cmu_segments import find_events
from motionmamba.data.text.captions import ACTIONS, write_captions
from motionmamba.data.text.vocabulary_cmu import ACTIONS as CMU_ACTIONS
from motionmamba.data.text.vocabulary_cmu import DESCRIPTIONS, ITEMS
from motionmamba.motion.asfamc import parse_amc, parse_asf
from motionmamba.motion.features import joints_to_features
from motionmamba.motion.joint_map import load_joint_map

LEFT_WRIST, RIGHT_WRIST = 20, 21


def _joints(*acts) -> np.ndarray:
    """Joints (T, 22, 3) at 20 fps of a made take."""
    asf = parse_asf(asf_text().encode(), "tiny.asf")
    positions = parse_amc(amc_text(*acts).encode(), asf, "tiny.amc").positions()
    return load_joint_map("cmu_asf").apply(asf.joint_names, positions, "tiny")[::6]


def _write(folder, trials: dict[str, tuple], table: dict[str, str], fps=()):
    """A source of trials `NN_MM` made of acts, with CMU's table of descriptions."""
    subjects, rates = {}, dict(fps)
    for trial, acts in trials.items():
        subject, number = trial.split("_")
        text = acts if isinstance(acts, str) else amc_text(*acts, fps=rates.get(trial, 120))
        subjects.setdefault(subject, {})[number] = text
    for subject, texts in subjects.items():
        write_subject(folder, subject, texts)
    with (folder / "captions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("subject", "trial", "description"))
        rows.writerows((*map(int, trial.split("_")), text) for trial, text in table.items())


WALK = (("walk", 4.0),)
TRIALS = {
    "02_01": WALK,
    "02_02": (("tpose", 0.8), ("walk", 3.0), ("stand", 4.0)),
    "02_03": (("walk", 3.0, 1.2, -90.0),),
    "02_04": (("walk", 14.0), ("stand", 0.8), ("sit", 6.0), ("stand", 1.0), ("walk", 7.0)),
    "02_05": (("stand", 4.0),),
    "02_06": (("stand", 1.0), ("sway", 3.0)),
    "02_07": WALK,
    "02_08": (("walk", 3.0, 3.0, 0.0),),
    "02_09": (("stand", 2.0), ("sway", 16.0)),
    "02_10": "gone wrong",
    "60_01": (("stand", 0.6), ("sway", 4.0)),
    "61_01": (("stand", 0.5), ("sway", 4.1)),
}
TABLE = {
    "02_01": "walk",
    "02_02": "SadWalk",
    "02_03": "walk, 90-degree left turn",  # wrongly
    "02_04": "walk, sit",
    "02_05": "walk",
    "02_06": "Motorcycle",
    "02_07": "walk",
    "02_08": "jump, balance",
    "02_09": "juggling, wash the dishes",
    "60_01": "salsa dance",
    "61_01": "salsa dance",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cmu")
    _write(folder, TRIALS, TABLE, {"60_01": 60, "61_01": 60})
    result = prepare_cmu(folder, workers=1)
    return {sample.name: sample for sample in result.samples}, result


def test_events_are_measured():
    def found(*acts):
        return [(e.kind, e.side, e.pace, e.times) for e in find_events(_joints(*acts))]

    assert found(("walk", 4.0)) == [("walk", "", "", 1)]
    assert found(("walk", 4.0, 0.6, 0.0)) == [("walk", "", "slow", 1)]
    assert found(("walk", 3.0, 3.0, 0.0)) == [("run", "", "", 1)]
    for angle, side in ((90.0, "left"), (-90.0, "right")):
        assert ("turn", side, "", 1) in found(("walk", 4.0, 1.2, angle))
        assert ("uturn", side, "", 1) in found(("walk", 6.0, 1.2, 2 * angle))
    assert found(("stand", 1.0), ("jump", 3.0), ("stand", 1.0)) == [("jump", "", "", 3)]
    assert found(("stand", 2.0)) == []
    acts = ("walk", 3.0), ("stand", 0.8), ("sit", 4.0), ("stand", 2.0)
    assert [kind for kind, *_ in found(*acts)] == ["walk", "sit", "rise"]
    sit = next(e for e in find_events(_joints(*acts)) if e.kind == "sit")
    assert abs(sit.start - 78) < 8 and abs(sit.end - 156) < 8


def test_events_do_not_depend_on_the_mirror_but_for_sides():
    joints = _joints(("walk", 4.0, 1.2, 90.0), ("sit", 3.0), ("walk", 4.0))
    mirrored = joints[:, [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15]]
    mirrored = np.concatenate([mirrored, joints[:, [17, 16, 19, 18, 21, 20]]], axis=1)
    mirrored = mirrored * [-1, 1, 1]
    other = {"left": "right", "right": "left", "": ""}
    expected = [(e.kind, other[e.side], e.start, e.end) for e in find_events(joints)]
    assert [(e.kind, e.side, e.start, e.end) for e in find_events(mirrored)] == expected


def test_walk(prepared):
    samples, result = prepared
    sample = samples["02_01"]
    assert sample.take == "02_01" and len(sample.joints) == 80
    assert len(sample.captions) == len(set(sample.captions)) == cmu_captions.CAPTIONS
    assert len(sample.mirrored_captions) == cmu_captions.CAPTIONS
    told = re.compile(
        "walk|step|stroll|pac|foot|feet|mak|forward|ahead|onward|strid", re.IGNORECASE
    )
    assert all(told.search(text) for text in sample.captions)
    height = sample.joints[..., 1].max(1)
    assert 1.3 < height.mean() < 1.8
    path = np.linalg.norm(sample.joints[-1, 0, ::2] - sample.joints[0, 0, ::2])
    assert path == pytest.approx(1.2 * 79 / 20, abs=0.2)
    assert np.isfinite(joints_to_features(sample.joints)).all()
    assert result.inputs.keys() >= {"02/02.asf", "02/02_01.amc", "captions.csv"}


def test_t_pose_and_standing_are_trimmed(prepared):
    joints = prepared[0]["02_02"].joints
    arms = np.abs(joints[:, [LEFT_WRIST, RIGHT_WRIST], 1] - joints[:, [16, 17], 1])
    assert arms[0].min() > 0.1
    # 3 s of walking, half a second of rest, and what is left of the change from the T-pose
    assert 60 <= len(joints) <= 80


def test_style_of_the_description(prepared):
    captions = prepared[0]["02_02"].captions
    assert any(re.search("sad|gloom|depress|down", text) for text in captions)


def test_turn_is_told_as_it_was_measured(prepared):
    sample = prepared[0]["02_03"]
    assert not any("left" in text for text in sample.captions)
    assert any("right" in text for text in sample.captions)
    assert not any("right" in text for text in sample.mirrored_captions)
    assert any("left" in text for text in sample.mirrored_captions)


def test_windows_are_told_by_what_they_show(prepared):
    samples, _ = prepared
    windows = [samples[name] for name in sorted(samples) if name.startswith("02_04")]
    assert len(windows) == 3 and all(len(window.joints) <= 197 for window in windows)
    first, second, last = windows
    sitting = re.compile(
        r"\b(sit|sits|sitting|sat|seat|seated|settl\w+|lower\w*|rest\w*|stay\w*)\b"
    )
    going = re.compile(r"\b(walk|stroll|step|pac|foot|way)")
    assert not any(sitting.search(text) for text in first.captions)
    assert all(going.search(text.lower()) for text in first.captions if "forward" not in text)
    assert any(sitting.search(text) for text in second.captions)
    assert any(sitting.search(text) for text in last.captions)
    kinds = [[text for text, *_ in window.parts] for window in windows]
    assert not kinds[0] and len(kinds[1]) == 2
    (_, a, b), (_, c, d) = second.parts
    assert 0 <= a < b <= c < d <= len(second.joints) / 20
    # the body goes down between the two parts
    height = second.joints[:, 0, 1]
    assert (
        height[int(c * 20) + 20 : int(d * 20) - 5].mean() < height[: int(b * 20) - 5].mean() - 0.2
    )


def test_what_was_dropped(prepared):
    samples, result = prepared
    reasons = result.dropped
    assert reasons["02_05"] == "hardly anything moves"
    assert "calibration" in reasons["02/02_06.amc"]
    assert reasons["02_07"] == "the same motion as 02_01"
    assert reasons["02/02_10.amc"].startswith("02/02_10.amc does not begin")
    assert not {"02_05", "02_06", "02_07", "02_10"} & set(samples)
    # two things are said of it, neither can be measured, and it is longer than a clip
    assert reasons["02_09-0"] == "nothing of its description can be found in it"


def test_whole_sequence_where_it_fits(prepared):
    captions = prepared[0]["02_08"].captions
    assert any("balanc" in text for text in captions)


def test_partners_are_in_one_split_and_sixty_frames_are_a_second():
    trials = [f"{subject}_{number:02d}" for subject in (60, 61) for number in range(40)]
    recordings = [cmu.Recording(t, np.zeros((1, 22, 3)), {"trial": t}) for t in trials]
    splits = cmu._splits(recordings)
    assert {splits["60_07"]} == {splits["61_07"]}
    assert all(splits[f"60_{n:02d}"] == splits[f"61_{n:02d}"] for n in range(40))
    assert list(splits.values()).count("test") == 8


def test_slow_subjects(prepared):
    assert 80 <= len(prepared[0]["60_01"].joints) <= 93


def test_archive_gives_the_same(tmp_path):
    _write(tmp_path / "cmu", {"02_01": WALK}, TABLE)
    with tarfile.open(tmp_path / "cmu.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cmu", "some/cmu")
    (sample,) = prepare_cmu(tmp_path / "cmu.tar.gz", workers=1).samples
    (expected,) = prepare_cmu(tmp_path / "cmu", workers=1).samples
    np.testing.assert_array_equal(sample.joints, expected.joints)
    assert sample.captions == expected.captions


def test_sources_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="holds no usable .amc or .bvh trial"):
        prepare_cmu(tmp_path, workers=1)
    with pytest.raises(ValueError, match="does not exist"):
        prepare_cmu(tmp_path / "nothing", workers=1)
    with pytest.raises(ValueError, match="together with its index.csv"):
        prepare_cmu(tmp_path, texts=tmp_path, workers=1)
    (tmp_path / "01_01.amc").write_text(amc_text(*WALK))
    with pytest.raises(ValueError, match="01_01.amc has no ASF skeleton beside it"):
        prepare_cmu(tmp_path, workers=1)
    (tmp_path / "01.asf").write_text(asf_text()[:-200])
    with pytest.raises(ValueError, match="01.asf has a broken skeleton"):
        prepare_cmu(tmp_path, workers=1)
    (tmp_path / "01.asf").write_text(asf_text())
    for text, reason in (
        ("a,b\n1,2\n", "no column 'trial'"),
        ("trial,path,fps,description\n01_01,,x,\n", "01_01 'x' frames a second"),
        ("trial,path,fps,description\n,,120,walk\n", "neither trial nor path"),
    ):
        (tmp_path / "clips.csv").write_text(text)
        with pytest.raises(ValueError, match=reason):
            prepare_cmu(tmp_path, workers=1)


def _book(**options) -> Book:
    asf = {"a/01": parse_asf(asf_text().encode(), "01.asf")}
    return Book({}, asf, load_joint_map("cmu_asf"), load_joint_map("cmu_bvh"), **options)


def _with_jump(text: str, frames: slice) -> bytes:
    """A take in which the root is elsewhere for some frames."""
    rows = text.split("\n")
    roots = [i for i, row in enumerate(rows) if row.startswith("root")]
    for i in roots[frames]:
        name, x, *rest = rows[i].split()
        rows[i] = " ".join([name, str(float(x) + 30), *rest])
    return "\n".join(rows).encode()


def test_takes_that_jump():
    text = amc_text(("walk", 6.0))
    (plain,) = read_trial("a/01_01.amc", text.encode(), _book())
    (recording,) = read_trial("a/01_01.amc", _with_jump(text, slice(0, 3)), _book())
    assert recording.name == "01_01" and recording.info["whole"]
    assert len(recording.joints) == len(plain.joints) - 1
    first, second = read_trial("a/01_01.amc", _with_jump(text, slice(400, 403)), _book())
    assert (first.name, second.name) == ("01_01.0", "01_01.1")
    assert not first.info["whole"] and len(first.joints) + len(second.joints) < 120
    ((start, end),) = first.info["broken"]
    assert start < 400 / 120 and end > 403 / 120
    # of whole takes, a rest pose at the start is replaced and nothing moves to other frames
    (whole,) = read_trial("a/01_01.amc", _with_jump(text, slice(0, 3)), _book(ends={}))
    np.testing.assert_allclose(whole.joints[2:], plain.joints[2:], atol=1e-5)
    np.testing.assert_allclose(whole.joints[0], plain.joints[1], atol=0.3)
    with pytest.raises(ValueError, match="jumps at 5 places"):
        jumps = text.encode()
        for start in range(100, 600, 100):
            jumps = _with_jump(jumps.decode(), slice(start, start + 3))
        read_trial("a/01_01.amc", jumps, _book())


def test_bvh_conversion():
    book = _book()
    (recording,) = read_trial("bvh/indian/04.bvh", daz_bvh(248, 0.01).encode(), book)
    assert recording.name == "indian_04"
    joints = recording.joints
    assert len(joints) == 40  # the rest pose and what smoothing makes of it are left out
    assert 1.3 < joints[:, 15, 1].mean() < 1.8
    assert (joints[:, 1, 0] > joints[:, 2, 0]).all()
    steps = np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=-1)
    np.testing.assert_allclose(steps, 6 * 0.01, atol=2e-3)
    (whole,) = read_trial("bvh/indian/04.bvh", daz_bvh(248, 0.01).encode(), _book(ends={}))
    assert len(whole.joints) == 42  # frames 1, 7, 13 and so on of the conversion
    frames = np.maximum(1 + 6 * np.arange(42), 8)
    np.testing.assert_allclose(whole.joints[:, 1, 2], 0.01 * frames, atol=1e-4)


INDEX = """source_path,start_frame,end_frame,new_name
./pose_data/CMU/02/02_01_poses.npy,10,70,000001.npy
./pose_data/CMU/02/02_01_poses.npy,0,30,000002.npy
./pose_data/CMU/02/02_01_poses.npy,140,190,000003.npy
./pose_data/CMU/07/07_01_poses.npy,0,60,000004.npy
./pose_data/CMU/20_21_rory1/20_05_poses.npy,0,60,000005.npy
./pose_data/KIT/3/kick_high_left02_poses.npy,0,117,000006.npy
./pose_data/CMU/02/02_03_poses.npy,5,60,000007.npy
./pose_data/CMU/88/88_01_poses.npy,0,100,000008.npy
"""


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    trials = {"02_01": WALK, "02_03": (("walk", 3.0, 1.2, -90.0),), "88_01": (("walk", 5.0),)}
    _write(folder / "cmu", trials, TABLE | {"88_01": "walk"}, {"88_01": 60})
    (folder / "index.csv").write_text(INDEX)
    return folder


def test_segments_of_humanml3d(indexed):
    result = prepare_cmu(indexed / "cmu", humanml3d_index=indexed / "index.csv", workers=1)
    samples = {sample.name: sample for sample in result.samples}
    assert set(samples) == {"000001", "000007", "000008"}
    asf = parse_asf(asf_text().encode(), "02.asf")
    positions = parse_amc(amc_text(*WALK).encode(), asf, "02_01.amc").positions()
    expected = load_joint_map("cmu_asf").apply(asf.joint_names, positions, "02_01")[::6][10:70]
    np.testing.assert_allclose(samples["000001"].joints, expected, atol=1e-5)
    # a segment that only fits at 60 frames a second shows that rate
    assert len(samples["000008"].joints) == 100
    reasons = {name.split()[0]: reason for name, reason in result.dropped.items()}
    assert reasons == {
        "000002": "under 40 frames",
        "000003": "its trial ends before it",
        "000004": "its trial is not in the source",
        "000005": "its folder is of two people, and does not tell whose trial is meant",
    }
    assert result.settings["humanml3d_segments"] == 7
    assert result.settings["humanml3d_segments_found"] == 3
    assert {sample.take for sample in result.samples} == {"02_01", "02_03", "88_01"}
    assert any("right" in text for text in samples["000007"].captions)


def test_segments_keep_the_persons_own_sides(indexed):
    """No mirror: HumanML3D's two reflections of AMASS, which has Z up, make a rotation."""
    result = prepare_cmu(indexed / "cmu", humanml3d_index=indexed / "index.csv", workers=1)
    joints = next(s for s in result.samples if s.name == "000007").joints
    across = joints[:, 1] - joints[:, 2]
    ahead = np.gradient(joints[:, 0], axis=0)
    assert (np.cross([0, 1, 0], ahead) * across).sum(-1).min() > 0


def test_texts_and_splits_of_humanml3d(indexed):
    texts = indexed / "texts"
    texts.mkdir(exist_ok=True)
    (texts / "000001.txt").write_text(
        "a man walks left.#a/DET man/NOUN walk/VERB left/ADV#0.0#0.0\n"
        "he steps#he/PRON step/VERB#0.5#2.0\n"
    )
    (texts / "000007.txt").write_text("turns right#turn/VERB right/ADV#0.0#0.0\n")
    (texts / "M000007.txt").write_text("turning to the left#turn/VERB left/ADV#nan#nan\n")
    for split, names in (("train", "000001"), ("val", ""), ("test", "000007\n000008")):
        (indexed / f"{split}.txt").write_text("\n".join([names, *(f"M{n}" for n in names.split())]))
    result = prepare_cmu(
        indexed / "cmu", humanml3d_index=indexed / "index.csv", texts=texts, workers=1
    )
    first, second = sorted(result.samples, key=lambda sample: sample.name)
    assert (first.name, first.take, first.split) == ("000001", "000001", "train")
    assert first.captions[0].text == "a man walks left."
    assert first.captions[0].tokens == "a/DET man/NOUN walk/VERB left/ADV"
    assert [(part.text, start, end) for part, start, end in first.parts] == [("he steps", 0.5, 2.0)]
    assert list(first.mirrored_captions) == ["a man walks right."]
    assert second.split == "test" and second.mirrored_captions[0].text == "turning to the left"
    assert result.dropped["000008 (88_01 0:100)"] == "HumanML3D's texts lack it"
    for split in ("train", "val", "test"):
        (indexed / f"{split}.txt").unlink()


@pytest.mark.parametrize(
    ("description", "kinds"),
    [
        ("walk", ["walk"]),
        ("QuickWalk", ["walk"]),
        ("walk, sit, stand up", ["walk", "sit", "sit_up"]),
        ("playground - climb, sit, dangle legs, descend", ["playground"]),
        ("playground - forward jumps, turn around", ["play"]),
        ("Run Dive Over Roll Run", ["run", "dive_roll", "run"]),
        ("run/jog, sudden stop", ["run", "stop"]),
        ("chicken (human subject)", ["animal_chicken"]),
        ("various animals (human subject)", ["animal_animal"]),
        ("squirrel - robotic like motion (human subject)", ["animal_squirrel"]),
        ('nursery rhyme - "I\'m a little teapot..."', ["teapot"]),
        ("jumping jacks, side twists, squats, jog", ["exercise"]),
        ("sit on high stool, stand up", ["high_stool", "sit_up"]),
        ("", []),
        ("clean", []),
        ("15.5 lbs", []),
    ],
)
def test_descriptions(description, kinds):
    plan = read_description(description)
    assert [kind for content in plan.contents for kind in content.kinds] == kinds


def test_descriptions_with_a_side_or_without_words():
    assert read_description("walk, veer left").side == "left"
    assert read_description("Run Side Step Right").side == "right"
    assert read_description("walk left, then right").side == ""
    assert read_description("digging a hole").items == (None,)
    for description in ("T-Pose", "Motorcycle", "Subject calibration"):
        with pytest.raises(ValueError, match="calibration"):
            read_description(description)


def test_description_that_the_grammar_does_not_know():
    joints = _joints(("stand", 1.0), ("sway", 3.0))
    plan = read_description("digging a hole, left hand first")
    telling = cmu_captions.tell(plan, joints, [], 1.0, whole=True)
    rng = np.random.default_rng(0)
    assert all("digging a hole, left hand first" in t for t in telling.captions(rng, "train"))
    assert all("right hand" in t for t in telling.mirrored().captions(rng, "train"))
    assert not set(telling.captions(rng, "train")) & set(telling.captions(rng, "held_out"))
    with pytest.raises(ValueError, match="nothing of its description"):
        cmu_captions.tell(plan, joints, [], 1.0, whole=False)


def test_active_hand():
    joints = np.zeros((40, 22, 3))
    assert cmu_captions.active_hand(joints + 0.0) == ""
    joints[:, LEFT_WRIST, 0] = np.sin(np.arange(40))
    assert cmu_captions.active_hand(joints) == "left"
    joints[:, RIGHT_WRIST, 0] = np.sin(np.arange(40))
    assert cmu_captions.active_hand(joints) == ""


@pytest.mark.parametrize("kind", sorted(CMU_ACTIONS))
def test_words(kind):
    from motionmamba.data.text.captions import Action, sentence_forms

    content = CMU_ACTIONS[kind]
    for words in (content.train, content.held_out):
        assert words.phrases[""] and words.told
        for phrase in (*words.phrases[""], *words.told):
            assert "{s}" not in phrase or kind in SIDED, phrase
    phrases = [
        {p for ps in w.phrases.values() for p in ps} for w in (content.train, content.held_out)
    ]
    assert not phrases[0] & phrases[1]
    action = Action(kind, "left" if kind in SIDED else "")
    train, held_out = sentence_forms(action), sentence_forms(action, "held_out")
    assert len(set(train)) >= 30 and not set(train) & set(held_out)
    for forms in ("train", "held_out"):
        for text in write_captions(action, np.random.default_rng(0), 40, forms):
            assert not re.search(r"[{}~]|  |\ba (?!one|u-)[aeiou]|\bs\b", text), text


# told of sides that are always measured or described
SIDED = {"side_steps", "veer", "run_veer", "run_turn", "run_uturn", "run_circle", "pivot"}
SIDED |= {"turn_around", "twirl", "side_step"}


def test_every_content_is_told():
    for content in (*DESCRIPTIONS, *ITEMS):
        re.compile(content.pattern)
        for kind in (*content.kinds, *(kind for _, kind in content.parts)):
            assert kind in ACTIONS or kind in ("side", "spin", "veer", "leap"), kind


def test_recorded_subject(shared_data, tmp_path):
    archive = shared_data / "cmu" / "clips.tar.xz"
    wanted = {"131.asf", "131_12.amc", "131_07.amc", "131_03.amc"}
    with tarfile.open(archive, "r|xz") as members:  # a stream, so that only its start is unpacked
        for member in members:
            if (name := member.name.split("/")[-1]) in wanted:
                (tmp_path / name).write_bytes(members.extractfile(member).read())
                wanted.remove(name)
            if not wanted:
                break
    result = prepare_cmu(tmp_path, clips=shared_data / "cmu" / "clips.csv", workers=1)
    samples = {sample.name: sample for sample in result.samples}
    assert set(samples) == {"131_03", "131_07", "131_12"}
    assert any("hop" in text for text in samples["131_03"].captions)
    assert any("jump" in text for text in samples["131_07"].captions)
    assert any("right" in text for text in samples["131_12"].captions)
    for sample in samples.values():
        features = joints_to_features(sample.joints)
        assert np.isfinite(features).all() and 0.7 < features[:, 3].mean() < 1.1
    index = partial(prepare_cmu, tmp_path, shared_data / "cmu" / "clips.csv", workers=1)
    found = index(humanml3d_index=shared_data / "humanml3d" / "index.csv")
    assert {s.name: len(s.joints) for s in found.samples} == {
        "010943": 184,
        "009643": 116,
        "001338": 128,
    }
    assert found.settings["humanml3d_segments"] == 2913
