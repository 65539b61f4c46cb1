from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import yaml
from bodies import CONVENTIONS, HIK, LIMBS, PARTS, TREE, TREES, walk

from motionmamba.data.sources.recordings import iter_files
from motionmamba.motion.bvh import parse_bvh
from motionmamba.motion.joint_guess import guess_joint_map, words
from motionmamba.motion.joint_map import MAPS, UPRIGHT, JointMap, load_joint_map, map_names
from motionmamba.motion.skeleton import HUMANML3D

JOINT = {name: i for i, name in enumerate(HUMANML3D.joint_names)}
SIDES = {"L": "left", "R": "right"}


def _joint(limb: str, side: str) -> int:
    return JOINT[f"{SIDES[side]}_{PARTS.get(limb, limb)}"]


def _limbs(convention: dict[str, str]) -> dict[int, str]:
    """The name of each joint of HumanML3D's limbs."""
    return {_joint(limb, s): convention[f"{limb} {s}"] for limb in LIMBS for s in "LR"}


def _check_stance(joints: np.ndarray):
    """Bones, whose directions are all that retargeting keeps, stand as SMPL's do."""
    bones = joints[:, 1:] - joints[:, list(HUMANML3D.parents[1:])]
    bones = np.median(bones / np.linalg.norm(bones, axis=-1, keepdims=True), axis=0)
    bone = {name: bones[i - 1] for name, i in JOINT.items() if i}
    for side, sign in (("left", 1), ("right", -1)):
        hip, foot, collar = (bone[f"{side}_{part}"] for part in ("hip", "foot", "collar"))
        assert 0.4 < sign * hip[0] / -hip[1] < 1.2
        assert 0.3 < -foot[1] < 0.6
        assert 0.4 < sign * collar[0] / collar[1] < 1.1
        assert abs(bone[f"{side}_shoulder"][1]) < 0.35
        assert bone[f"{side}_knee"][1] < -0.9 and bone[f"{side}_ankle"][1] < -0.9
    for name in ("spine1", "spine2", "spine3", "neck"):
        assert bone[name][1] > 0.9
    assert 20 < np.degrees(np.arctan2(np.hypot(*bone["head"][[0, 2]]), bone["head"][1])) < 60


@pytest.mark.parametrize("name", map_names())
def test_packaged_maps_are_whole_and_alike_on_both_sides(name):
    joint_map = load_joint_map(name)
    assert joint_map.name == name and len(set(joint_map.joints)) == 22
    sided = [
        (words(place) if isinstance(place, str) else [*words(place[0]), *words(place[1]), place[2]])
        for place in joint_map.joints
    ]
    for joint, other in enumerate(HUMANML3D.mirror):
        swapped = [{"left": "right", "right": "left"}.get(word, word) for word in sided[joint]]
        assert sided[other] == swapped
        wanted = HUMANML3D.joint_names[joint].split("_")[0]
        assert wanted not in SIDES.values() or wanted in sided[joint]


@pytest.mark.parametrize(
    "name", ["lafan1", "100style", "mixamo", "optitrack", "smpl", "cmu_bvh", "cmu_motionbuilder"]
)
def test_packaged_maps_suit_their_skeletons(name):
    convention = CONVENTIONS["mixamo" if name == "optitrack" else name]
    names, _, positions = walk(convention, tree=TREES.get(name, TREE))
    joint_map = load_joint_map(name)
    joints = joint_map.apply(names, positions, "walk")
    assert joints.shape == (60 - joint_map.first_frame, 22, 3) and joints.dtype == np.float64
    positions = positions[joint_map.first_frame :]
    for joint, place in _limbs(convention).items():
        if "foot" not in HUMANML3D.joint_names[joint]:  # these are turned
            expected = positions[:, names.index(place)] / 100
            np.testing.assert_allclose(joints[:, joint], expected, atol=1e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_guesses_name_the_limbs_of_many_conventions(convention):
    names, parents, positions = walk(CONVENTIONS[convention], tree=TREES.get(convention, TREE))
    joint_map = guess_joint_map(names, parents, positions)
    for joint, name in _limbs(CONVENTIONS[convention]).items():
        assert joint_map.joints[joint] == name
    assert joint_map.joints[JOINT["neck"]] == CONVENTIONS[convention]["neck"]
    assert joint_map.joints[JOINT["head"]] == CONVENTIONS[convention]["head"]
    assert (joint_map.up, joint_map.unit, joint_map.first_frame) == ("y", 0.01, 0)
    assert not any("disagree" in note for note in joint_map.account)
    _check_stance(joint_map.apply(names, positions, "walk"))


@pytest.mark.parametrize("up", UPRIGHT)
@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254])
def test_guesses_find_axis_and_unit(up, unit):
    turn = np.array(UPRIGHT[up]).T
    names, parents, positions = walk(HIK, unit=unit, turn=turn)
    joint_map = guess_joint_map(names, parents, positions)
    assert (joint_map.up, joint_map.unit) == (up, unit)
    names, _, expected = walk(HIK, unit=1.0)
    joints = joint_map.apply(names, positions, "walk")
    column = expected[:, names.index("LeftForeArm")]
    np.testing.assert_allclose(joints[:, JOINT["left_elbow"]], column, atol=1e-6)


def test_guesses_do_without_names():
    inner = {parent for parent, _ in TREE.values()}
    convention = {role: f"joint{i}" for i, role in enumerate(TREE) if role in inner}
    names, parents, positions = walk(convention)
    joint_map = guess_joint_map(names, parents, positions)
    for joint, name in _limbs(convention).items():
        assert joint_map.joints[joint] == name
    assert any("do not tell sides" in note for note in joint_map.account)
    _check_stance(joint_map.apply(names, positions, "walk"))


def test_guesses_believe_the_shape_where_names_call_right_left():
    swapped = {
        role: HIK[role.replace(" L", " ?").replace(" R", " L").replace(" ?", " R")] for role in HIK
    }
    names, parents, positions = walk(swapped)
    joint_map = guess_joint_map(names, parents, positions)
    assert joint_map.joints[JOINT["left_knee"]] == "RightLeg"
    assert joint_map.joints[JOINT["left_elbow"]] == "RightForeArm"
    assert sum("names of the" in note for note in joint_map.account) == 2
    for wrong in ("mixamo", "optitrack"):
        with pytest.raises(ValueError, match="takes.1 has feet that point backwards"):
            load_joint_map(wrong).apply(names, positions, "takes.1")


OTHER_TREES = {
    "twist helpers": (
        {"roll L": ("shoulder L", (0.13, 0, 0)), "roll R": ("shoulder R", (-0.13, 0, 0))}
        | {"elbow L": ("roll L", (0.14, 0, 0)), "elbow R": ("roll R", (-0.14, 0, 0))},
        {"roll L": "LeftArmRoll", "roll R": "RightArmRoll"},
    ),
    "arms on the neck, legs on the spine": (
        {f"collar {s}": ("neck", (0.05 * x, -0.06, 0)) for s, x in (("L", 1), ("R", -1))}
        | {f"hip {s}": ("spine1", (0.09 * x, -0.18, 0.01)) for s, x in (("L", 1), ("R", -1))},
        {},
    ),
    "no collars": (
        {f"shoulder {s}": ("spine3", (0.18 * x, 0.14, 0)) for s, x in (("L", 1), ("R", -1))}
        | {"collar L": None, "collar R": None},
        {},
    ),
    "one spine": ({"neck": ("spine1", (0, 0.46, 0))} | {"spine2": None, "spine3": None}, {}),
    "root on the floor": (
        {"base": (None, (0, 0, 0)), "pelvis": ("base", (0, 0.98, 0))},
        {"base": "Reference"},
    ),
    "tail and wings": (
        {"tail": ("pelvis", (0, 0, -0.3)), "tail tip": ("tail", (0, 0, -0.9))}
        | {"wing L": ("spine2", (0.5, 0.3, 0)), "wing R": ("spine2", (-0.5, 0.3, 0))}
        | {"wing tip L": ("wing L", (0.9, 0, 0)), "wing tip R": ("wing R", (-0.9, 0, 0))},
        {"tail": "Tail1", "wing L": "LeftWing1", "wing R": "RightWing1"},
    ),
}


@pytest.mark.parametrize("kind", OTHER_TREES)
def test_guesses_see_through_other_trees(kind):
    changes, more_names = OTHER_TREES[kind]
    tree = {role: joint for role, joint in (TREE | changes).items() if joint}
    if kind == "one spine":
        tree |= {f"collar {s}": ("spine1", (0.05 * x, 0.4, 0)) for s, x in (("L", 1), ("R", -1))}
    convention = HIK | more_names
    names, parents, positions = walk(convention, tree=tree)
    joint_map = guess_joint_map(names, parents, positions)
    for joint, name in _limbs(convention).items():
        assert joint_map.joints[joint] == name
    _check_stance(joint_map.apply(names, positions, "walk"))


def test_guesses_drop_a_rest_pose_and_what_leads_from_it():
    names, parents, positions = walk(HIK, frames=100)
    rest = positions[:1] + np.random.default_rng(0).normal(scale=100, size=(1, len(names), 3))
    leading = [rest + share * (positions[:1] - rest) for share in (0, 0.7, 0.9)]
    take = np.concatenate([*leading, positions])
    assert guess_joint_map(names, parents, take).first_frame == 3
    assert guess_joint_map(names, parents, take, positions, positions).first_frame == 0


def test_what_is_no_human_body_is_refused():
    names, parents, positions = walk(HIK)
    kept = [i for i, name in enumerate(names) if "Toe" not in name]
    with pytest.raises(ValueError, match="no toes"):
        guess_joint_map(*_some(names, parents, positions, kept))
    kept = [
        i for i, name in enumerate(names) if not any(w in name for w in ("Shoulder", "Arm", "Hand"))
    ]
    with pytest.raises(ValueError, match="two arms and two legs"):
        guess_joint_map(*_some(names, parents, positions, kept))
    with pytest.raises(ValueError, match="two arms"):
        guess_joint_map(["a", "b"], [-1, 0], positions[:, :2])
    stool = {
        role: ("spine3", (0, 0, 0.2)) if role == "neck" else joint for role, joint in TREE.items()
    }
    stool |= {"spine1": ("pelvis", (0, 0, 0.3)), "spine2": ("spine1", (0, 0, 0.3))}
    with pytest.raises(ValueError, match="in line with its legs"):
        guess_joint_map(*walk(HIK, tree=stool | {"spine3": ("spine2", (0, 0, 0.3))}))
    ape = TREE | {
        f"elbow {s}": (f"shoulder {s}", (0.9 * x, 0, 0)) for s, x in (("L", 1), ("R", -1))
    }
    with pytest.raises(ValueError, match="arms are .* times as long"):
        guess_joint_map(*walk(HIK, tree=ape))


def _some(names, parents, positions, kept):
    chosen = [kept.index(parents[i]) if parents[i] >= 0 else -1 for i in kept]
    return [names[i] for i in kept], chosen, positions[:, kept]


def test_words_of_names():
    assert words("mixamorig:LeftUpLeg") == ["left", "up", "leg"]
    assert words("thigh_l") == ["thigh", "left"] and words("upper_arm.R") == [
        "upper",
        "arm",
        "right",
    ]
    assert words("rfemur") == ["right", "femur"] and words("Bip01 L Calf")[-2:] == ["left", "calf"]
    assert words("lowerback") == ["lowerback"] and words("root") == ["root"]


def test_descriptions_are_files_that_say_the_same(tmp_path):
    names, parents, positions = walk(CONVENTIONS["mixamo"])
    joint_map = guess_joint_map(names, parents, positions)
    path = tmp_path / "mine.yaml"
    path.write_text(joint_map.describe())
    assert load_joint_map(path) == replace(joint_map, name="mine", account=())
    assert all(f"# {note}\n" in joint_map.describe() for note in joint_map.account)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("unit: auto", "unit: miles", "unit 'miles'"),
        ("unit: auto", "unit: 0", "unit 0"),
        ("up: y", "up: w", "'w' up"),
        ("first_frame: 0", "first_frame: 1.5", "first_frame 1.5"),
        ("toes_up: 11", "toes_up: high", "toes_up"),
        ("toes_up: 11", "toes: 11", "has toes"),
        ("neck: Neck", "gills: Neck", "gills, neck"),
        ("neck: Neck", "neck: [Neck, Head]", "neck the place"),
        ("neck: Neck", "neck: [Neck, Head, 1, 2]", "neck the place"),
        ("neck: Neck", "neck: true", "neck the place"),
        ("joints:", "bones:", "has no 'joints'"),
        ("joints:", "joints: {", "cannot be read"),
    ],
)
def test_broken_maps_are_told(tmp_path, old, new, words):
    text = (MAPS / "mixamo.yaml").read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=words) as error:
        load_joint_map(path)
    assert str(path) in str(error.value)


def test_unknown_maps_are_told():
    for name in ("none", "../joint_maps/mixamo", ""):
        with pytest.raises(ValueError, match="there is no joint map .* bandai, cmu_asf"):
            load_joint_map(name)
    with pytest.raises(ValueError, match="cannot be read"):
        load_joint_map("none.yaml")
    with pytest.raises(yaml.YAMLError):  # a tag that would run code is none of safe YAML
        yaml.safe_load("!!python/object/apply:os.getcwd []")


def test_recordings_that_a_map_does_not_suit_are_told():
    joint_map = load_joint_map("mixamo")
    names, _, positions = walk(HIK)
    lacking = ["Back" if name == "Spine" else name for name in names]
    with pytest.raises(ValueError, match="it lacks the joints Spine of the joint map 'mixamo'"):
        joint_map.apply(lacking, positions, "it")
    doubled = ["LeftLeg" if name == "LeftHandMiddle1" else name for name in names]
    with pytest.raises(ValueError, match="several joints named LeftLeg"):
        joint_map.apply(doubled, positions, "it")
    flat = positions.copy()
    flat[7, names.index("LeftArm")] = flat[7, names.index("LeftForeArm")]
    with pytest.raises(ValueError, match="lie on one another, at the left_elbow"):
        joint_map.apply(names, flat, "it")
    with pytest.raises(ValueError, match="feet that point backwards"):
        joint_map.apply(names, positions * (-1, 1, 1), "it")
    with pytest.raises(ValueError, match="no frame after the first 60"):
        replace(joint_map, first_frame=60).apply(names, positions, "it")
    assert len(replace(joint_map, first_frame=50).apply(names, positions, "it")) == 10


def test_namespaces_do_not_matter():
    for convention in (HIK, CONVENTIONS["mixamo"]):
        names, _, positions = walk(convention)
        joints = load_joint_map("mixamo").apply(names, positions, "it")
        assert joints.shape == (60, 22, 3)
        names = [f"actor1:{name.rpartition(':')[2]}" for name in names]
        np.testing.assert_array_equal(
            joints, load_joint_map("mixamo").apply(names, positions, "it")
        )


def test_units_are_found_from_the_size():
    joint_map = load_joint_map("mixamo")
    expected = joint_map.apply(*walk(HIK, unit=1.0)[::2], "it")
    for unit in (0.01, 0.0254, 0.001, 0.0254 / 0.45):
        np.testing.assert_allclose(joint_map.apply(*walk(HIK, unit=unit)[::2], "it"), expected)
    odd = joint_map.apply(*walk(HIK, unit=0.2)[::2], "it")
    assert 1.2 < np.ptp(odd[:, :, 1]) < 2.0


def test_corrections_turn_feet_and_head_only():
    names, _, positions = walk(HIK)
    plain = JointMap("plain", load_joint_map("mixamo").joints)
    before = plain.apply(names, positions, "it")
    after = replace(plain, toes_up=20, head_forward=15).apply(names, positions, "it")
    changed = np.flatnonzero(np.abs(after - before).max((0, 2)) > 1e-9)
    assert {HUMANML3D.joint_names[i] for i in changed} == {"left_foot", "right_foot", "head"}
    for joint, degrees in (("left_foot", 20), ("right_foot", 20), ("head", 15)):
        i = JOINT[joint]
        one, other = (x[:, i] - x[:, HUMANML3D.parents[i]] for x in (before, after))
        lengths = np.linalg.norm(one, axis=-1), np.linalg.norm(other, axis=-1)
        np.testing.assert_allclose(*lengths)
        angles = np.degrees(np.arccos((one * other).sum(-1) / (lengths[0] * lengths[1])))
        np.testing.assert_allclose(angles, degrees, atol=1e-6)
        assert (other[:, 1] > one[:, 1]).all() == (joint != "head")
        assert joint != "head" or (other[:, 2] > one[:, 2]).all()


def test_guess_on_recordings_is_as_the_map_made_for_them(shared_data):
    files = iter_files(shared_data / "bandai-namco" / "dataset.tar.xz", (".bvh",))
    takes = [parse_bvh(content, name, end_sites=True) for name, content in islice(files, 4)]
    names = takes[0].joint_names
    guess = guess_joint_map(names, takes[0].parents, *(take.positions() for take in takes))
    made = load_joint_map("bandai")
    for one, other in zip(guess.joints, made.joints, strict=True):
        if isinstance(one, str) and isinstance(other, str):
            assert one == other
    assert (guess.up, guess.unit, guess.first_frame) == ("y", 0.01, 0)
    assert guess.toes_up == pytest.approx(made.toes_up, abs=6)
    positions = takes[0].positions()
    apart = guess.apply(names, positions, "it") - made.apply(names, positions, "it")
    assert np.linalg.norm(apart, axis=-1).max() < 0.06
