import json
import logging
import tarfile
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
from bodies import CONVENTIONS, HIK, walk_bvh

from motionmamba.data.packed import write_dataset
from motionmamba.data.sources.bvh import prepare_bvh
from motionmamba.motion.bvh import read_bvh
from motionmamba.motion.features import features_to_joints
from motionmamba.motion.motion import Motion
from motionmamba.motion.skeleton import HUMANML3D

ABOUT = {"licence": "CC0", "title": "Made-Up Walks 2", "workers": 1}
GOOD = walk_bvh(CONVENTIONS["mixamo"], 60)


def _write(folder, texts: dict[str, str]):
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _csv(folder, *rows: str):
    path = folder / "captions.csv"
    path.write_text("\n".join(["file,caption,start,end", *rows]) + "\n")
    return path


def _samples(prepared) -> dict:
    return {sample.name: sample for sample in prepared.samples}


def test_names_tell_captions_and_groups(tmp_path):
    texts = {f"deep/walkLeft_very-old_{i:02d}.bvh": GOOD for i in range(20)}
    _write(tmp_path, texts | {"wave_happy_01.bvh": GOOD, "other.bvh": GOOD, "_x_1.bvh": GOOD})
    prepared = prepare_bvh(tmp_path, name_pattern="{content}_{style}_{id}", **ABOUT)
    samples = _samples(prepared)
    assert set(samples) == {n[:-4].replace("/", "_") for n in texts} | {"wave_happy_01"}
    assert samples["deep_walkLeft_very-old_00"].captions == ["very old walk left"]
    assert samples["deep_walkLeft_very-old_00"].mirrored_captions == ["very old walk right"]
    assert samples["wave_happy_01"].captions == ["happy wave"]
    splits = [s.split for n, s in samples.items() if "walk" in n]
    assert (splits.count("test"), splits.count("val")) == (2, 1)
    assert set(prepared.dropped) == {"other.bvh", "_x_1.bvh"}
    assert all("does not follow the pattern" in reason for reason in prepared.dropped.values())
    assert list(prepared.sources) == ["made-up-walks-2"]
    assert "{content}_{style}_{id}" in prepared.sources["made-up-walks-2"].statement


@pytest.mark.parametrize("pattern", ["walks", "{id}", "{content}_{what}", "{style}_{style}"])
def test_patterns_that_tell_nothing_are_errors(tmp_path, pattern):
    _write(tmp_path, {"a.bvh": GOOD})
    with pytest.raises(ValueError, match="the name pattern"):
        prepare_bvh(tmp_path, name_pattern=pattern, **ABOUT)


def test_tables_tell_captions_with_and_without_times(tmp_path):
    _write(tmp_path / "takes", {"a/1.bvh": walk_bvh(HIK, 150), "b/1.bvh": GOOD, "b/2.bvh": GOOD})
    rows = ("a/1.bvh,steps left,,", "a/1,he walks,0,0", "./a/1.bvh,walks right,1,3", "2,walks,,")
    wrong = ("1,walks,,", "a/1.bvh,,,", "a/1.bvh,x,3,1", "a/1.bvh,x,one,two", "b/2,late,1.9,9")
    table = _csv(tmp_path, *rows, *wrong)
    prepared = prepare_bvh(tmp_path / "takes", captions=table, **ABOUT)
    samples = _samples(prepared)
    assert set(samples) == {"a_1", "b_2"}
    assert samples["a_1"].captions == ["steps left", "he walks"]
    assert samples["a_1"].mirrored_captions == ["steps right", "he walks"]
    assert list(samples["a_1"].parts) == [("walks right", 1.0, 3.0)]
    assert list(samples["a_1"].mirrored_parts) == [("walks left", 1.0, 3.0)]
    assert {key for key in prepared.dropped if "csv" in key} == {
        f"captions.csv:{number}" for number in range(6, 10)
    }
    assert prepared.dropped["b/1.bvh"] == "no caption"
    assert "b/2.bvh 1.9-9 s" in prepared.dropped
    assert set(prepared.inputs) == {"captions.csv", "a/1.bvh", "b/2.bvh"}


def test_sidecars_tell_captions_with_tokens(tmp_path):
    lines = (
        "turns left#turn/VERB left/ADV#0.0#0.0\nstops##nan#nan\nhe runs#he/PRON run/VERB#0.5#1.5\n"
    )
    texts = {"a.bvh": GOOD, "a.txt": lines + "broken#line\n\n", "b.bvh": GOOD, "c.txt": lines}
    prepared = prepare_bvh(_write(tmp_path, texts | {"README.txt": "Walks.\n"}), **ABOUT)
    sample = _samples(prepared)["a"]
    assert sample.captions == [("turns left", "turn/VERB left/ADV"), "stops"]
    assert sample.mirrored_captions == ["turns right", "stops"]
    assert list(sample.parts) == [(("he runs", "he/PRON run/VERB"), 0.5, 1.5)]
    assert prepared.dropped == {
        "a.txt:4": "not caption#tokens#start#end",
        "b.bvh": "no caption",
        "c.txt": "no recording of that name",
    }


def test_long_takes_become_windows_and_clips_of_what_is_told(tmp_path):
    _write(tmp_path, {"long.bvh": walk_bvh(HIK, 900), "timed.bvh": walk_bvh(HIK, 300)})
    rows = ("long,walks,,", "long,turns left,2,5", "long,goes far,0,29", "timed,hops,1,2.5")
    prepared = prepare_bvh(tmp_path, captions=_csv(tmp_path, *rows), **ABOUT)
    samples = _samples(prepared)
    assert set(samples) == {
        *("long.0", "long.1", "long.2", "long.3", "long.part0"),
        *("long.part1.0", "long.part1.1", "long.part1.2", "timed.part0"),
    }
    assert all(len(sample.joints) <= 197 for sample in samples.values())
    assert {sample.take for sample in samples.values()} == {"long", "timed"}
    assert samples["long.0"].captions == ["walks"] and not samples["long.0"].parts
    assert samples["long.part0"].captions == ["turns left"]
    assert samples["long.part0"].mirrored_captions == ["turns right"]
    # 1.2 m/s over 20 fps in the made-up walk, of which 30 fps show two thirds a second
    travel = np.ptp(samples["long.part0"].joints[:, 0, 2])
    assert len(samples["long.part0"].joints) == 61 and travel == pytest.approx(5.4, rel=0.01)
    assert len(samples["timed.part0"].joints) == 31


def test_times_count_from_the_start_of_the_file(tmp_path):
    text = walk_bvh(CONVENTIONS["mixamo"], 120)
    (tmp_path / "map.yaml").write_text(
        (_map_text("mixamo")).replace("first_frame: 0", "first_frame: 15")
    )
    _write(tmp_path / "takes", {"a.bvh": text})
    table = _csv(tmp_path, "a,walks,,", "a,turns,0.25,2", "a,waits,1,3")
    prepared = prepare_bvh(tmp_path / "takes", str(tmp_path / "map.yaml"), table, **ABOUT)
    sample = prepared.samples[0]
    parts = [(text, round(start, 3), round(end, 3)) for text, start, end in sample.parts]
    assert parts == [("turns", 0, 1.5), ("waits", 0.5, 2.5)]


def _map_text(name: str) -> str:
    from motionmamba.motion.joint_map import MAPS

    return (MAPS / f"{name}.yaml").read_text()


def test_joints_are_those_of_the_walk(tmp_path):
    _write(tmp_path, {"a.bvh": walk_bvh(CONVENTIONS["unreal"], 90, unit=0.0254, fps=60)})
    prepared = prepare_bvh(tmp_path, captions=_csv(tmp_path, "a,walks,,"), **ABOUT)
    joints = prepared.samples[0].joints
    assert joints.shape == (30, 22, 3) and joints.dtype == np.float32
    bvh = read_bvh(tmp_path / "a.bvh")
    expected = bvh.positions()[::3, bvh.joint_names.index("calf_r")] * 0.0254
    np.testing.assert_allclose(joints[:, 5], expected, atol=2e-3)
    assert joints[0, 1, 0] > joints[0, 2, 0]  # left is +x of a body that faces +z


def test_guesses_are_made_for_each_skeleton_and_told(tmp_path, caplog):
    nameless = GOOD.replace("mixamorig:", "").replace("Spine1", "Belly")
    stick = GOOD.replace("OFFSET", "OFSET", 3)
    dog = "HIERARCHY\nROOT dog\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n}\n"
    dog += "MOTION\nFrames: 40\nFrame Time: .03\n"
    texts = {
        "a.bvh": GOOD,
        "b.bvh": GOOD,
        "c.bvh": nameless,
        "d.bvh": stick,
        "e.bvh": dog + "0\n" * 40,
    }
    table = _csv(_write(tmp_path, texts), *(f"{name},walks,," for name in texts))
    with caplog.at_level(logging.INFO):
        prepared = prepare_bvh(tmp_path, captions=table, **ABOUT)
    assert set(_samples(prepared)) == {"a", "b", "c"}
    assert list(prepared.settings["joint_maps"]) == ["guessed 1", "guessed 2"]
    assert "left_knee: LeftLeg" in prepared.settings["joint_maps"]["guessed 2"]
    assert "left_knee: mixamorig:LeftLeg" in caplog.text and "spine2: [Belly" in caplog.text
    assert "y points up" in caplog.text
    assert "broken header" in prepared.dropped["d.bvh"]
    assert prepared.dropped["e.bvh"].startswith("no joint map can be guessed: the skeleton has not")
    json.dumps(prepared.settings)


def test_broken_takes_are_dropped_with_a_reason(tmp_path):
    texts = {
        "good": GOOD,
        "cut": GOOD[: len(GOOD) // 2],
        "short": walk_bvh(CONVENTIONS["mixamo"], 20),
        "slow": GOOD.replace("Frame Time: 0.0333333", "Frame Time: 0.5"),
        "nan": GOOD.replace("\n0.00000 ", "\nnan ", 1),
        "other": GOOD.replace("mixamorig:Spine1", "mixamorig:Back"),
        "empty": "",
    }
    _write(tmp_path, {f"{name}.bvh": text for name, text in texts.items()})
    table = _csv(tmp_path, *(f"{name},walks,," for name in texts))
    prepared = prepare_bvh(tmp_path, "mixamo", table, **ABOUT)
    assert set(_samples(prepared)) == {"good"}
    reasons = {
        **{
            "cut.bvh": "cut off",
            "short.bvh": "shorter than 17 frames",
            "slow.bvh": "2 frames a second",
        },
        **{"nan.bvh": "NaN", "other.bvh": "lacks the joints Spine1", "empty.bvh": "no MOTION"},
    }
    assert set(prepared.dropped) == set(reasons)
    assert all(words in prepared.dropped[name] for name, words in reasons.items())


def test_split_lists_are_kept(tmp_path):
    _write(tmp_path, {f"{name}.bvh": GOOD for name in "abcd"})
    lists = _write(tmp_path / "lists", {"train.txt": "a\nb.bvh\n", "test.txt": "c\nz\n"})
    table = _csv(tmp_path, *(f"{name},walks,," for name in "abcd"))
    prepared = prepare_bvh(tmp_path, captions=table, splits=lists, **ABOUT)
    assert {s.name: s.split for s in prepared.samples} == {"a": "train", "b": "train", "c": "test"}
    assert prepared.dropped == {
        "d.bvh": "in no split list",
        "test.txt: z": "no recording of that name",
    }
    (lists / "val.txt").write_text("a\n")
    with pytest.raises(ValueError, match="a is in train.txt and val.txt"):
        prepare_bvh(tmp_path, captions=table, splits=lists, **ABOUT)
    with pytest.raises(ValueError, match="no train.txt"):
        prepare_bvh(tmp_path, captions=table, splits=tmp_path, **ABOUT)


@pytest.mark.parametrize("suffix", ["zip", "tar.xz"])
def test_archives_give_what_folders_give(tmp_path, suffix):
    folder = _write(tmp_path / "takes", {"a.bvh": GOOD, "a.txt": "walks##0#0\n", "b.bvh": GOOD})
    archive = tmp_path / f"takes.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w") as out:
            for path in sorted(folder.iterdir()):
                out.write(path, path.name)
    else:
        with tarfile.open(archive, "w:xz") as out:
            for path in sorted(folder.iterdir()):
                out.add(path, path.name)
    one, other = (prepare_bvh(source, **ABOUT) for source in (folder, archive))
    assert (one.dropped, one.inputs, one.settings) == (other.dropped, other.inputs, other.settings)
    for a, b in zip(one.samples, other.samples, strict=True):
        np.testing.assert_array_equal(a.joints, b.joints)
        assert {k: v for k, v in asdict(a).items() if k != "joints"} == {
            k: v for k, v in asdict(b).items() if k != "joints"
        }


def test_unusable_sources_are_errors(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        prepare_bvh(tmp_path / "none", **ABOUT)
    with pytest.raises(ValueError, match="holds no .bvh file"):
        prepare_bvh(tmp_path, **ABOUT)
    _write(tmp_path, {"a.bvh": GOOD})
    with pytest.raises(ValueError, match="no caption for any .*a.bvh: no caption"):
        prepare_bvh(tmp_path, **ABOUT)
    with pytest.raises(ValueError, match="there is no joint map 'none'"):
        prepare_bvh(tmp_path, "none", **ABOUT)
    (tmp_path / "captions.csv").write_text("name,text\na,walks\n")
    with pytest.raises(ValueError, match="lack the column caption and file"):
        prepare_bvh(tmp_path, captions=tmp_path / "captions.csv", **ABOUT)
    with pytest.raises(ValueError, match="cannot be read"):
        prepare_bvh(tmp_path, captions=tmp_path / "none.csv", **ABOUT)
    (tmp_path / "a.bvh").write_text(GOOD[:500])
    with pytest.raises(ValueError, match="no clip for training .*a.bvh: it has no MOTION"):
        prepare_bvh(tmp_path, captions=_csv(tmp_path, "a,walks,,"), **ABOUT)


def test_files_that_this_library_wrote_come_back(tmp_path, shared_data):
    joints = np.load(shared_data / "humanml3d" / "new_joints" / "012314.npy")
    motion = Motion(joints=joints)
    motion.save(tmp_path / "a.bvh")
    table = _csv(tmp_path, "a,dances,,")
    prepared = prepare_bvh(tmp_path, "humanml3d", table, **ABOUT)
    dataset = write_dataset(tmp_path / "set", prepared, "one")
    clip = dataset.split("train")[0]
    again = features_to_joints(dataset.features(clip))
    expected = features_to_joints(motion.features)[: len(again)]
    assert len(again) >= len(expected) - 1
    apart = np.linalg.norm(again - expected, axis=-1)
    assert np.median(apart) < 0.02 and clip.length < 197
    assert HUMANML3D.num_joints == again.shape[1]
