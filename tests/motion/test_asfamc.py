import tarfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motionmamba.motion.asfamc import AsfAmcError, parse_amc, parse_asf

ASF = """# a comment
:version 1.10
:name tiny
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
   begin of nothing
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 1 0
   orientation 0 90 0
:bonedata
  begin
     id 1
     name hip
     direction 1 0 0
     length 2.0
     axis 0 0 0 XYZ
  end
  begin
     id 2
     name leg
     direction 0 -1 0
     length 3.5
     axis 10 20 -30 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 3
     name foot
     direction 0 0 1
     length 1.5
     axis 0 45 5 ZYX
    dof rx rz
  end
  begin
     id 4
     name arm
     direction 0.6 0.8 0
     length 5
     axis 180 0 90 XYZ
    dof rz
  end
:hierarchy
  begin
    root hip arm
    hip leg
    leg foot
  end
"""
BONES = {"root": 6, "leg": 3, "foot": 2, "arm": 1}
HEADER = "#!OML:ASF tiny.asf\n:FULLY-SPECIFIED\n:DEGREES\n"


def _amc(values: np.ndarray, order=tuple(BONES)) -> bytes:
    starts = dict(zip(BONES, np.cumsum([0, *BONES.values()]), strict=False))
    lines = [HEADER]
    for number, row in enumerate(values, 1):
        lines.append(f"{number}\n")
        for bone in order:
            numbers = row[starts[bone] : starts[bone] + BONES[bone]]
            lines.append(f"{bone} {' '.join(repr(float(n)) for n in numbers)}\n")
    return "".join(lines).encode()


def _values(frames=7, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-90, 90, (frames, sum(BONES.values())))


def _expected(values: np.ndarray) -> np.ndarray:
    """Forward kinematics of the tiny skeleton, frame by frame, as Acclaim's pages tell it."""

    def turn(letters: str, angles) -> np.ndarray:
        return Rotation.from_euler(letters, angles, degrees=True).as_matrix()

    frames = []
    for v in values:
        axes = turn("xyz", [0, 90, 0])
        root = axes @ turn("xyz", v[3:6]) @ axes.T
        start = v[:3] + [0, 1, 0]
        hip = start + root @ [2, 0, 0]
        axes = turn("xyz", [10, 20, -30])
        thigh = root @ axes @ turn("xyz", v[6:9]) @ axes.T
        leg = hip + thigh @ [0, -3.5, 0]
        axes = turn("zyx", [0, 45, 5])
        toes = thigh @ axes @ turn("xyz", [v[9], 0, v[10]]) @ axes.T
        foot = leg + toes @ [0, 0, 1.5]
        axes = turn("xyz", [180, 0, 90])
        upper = root @ axes @ turn("z", v[11]) @ axes.T
        frames.append([start, hip, start + upper @ [3, 4, 0], leg, foot])
    return np.array(frames)


@pytest.fixture(scope="module")
def asf():
    return parse_asf(ASF.encode(), "tiny.asf")


def test_skeleton(asf):
    assert asf.joint_names == ("root", "hip", "arm", "leg", "foot")
    assert asf.parents == (-1, 0, 0, 1, 3)
    assert asf.channels[0] == ("tx", "ty", "tz", "rx", "ry", "rz")
    assert asf.channels[1:] == ((), ("rz",), ("rx", "ry", "rz"), ("rx", "rz"))
    np.testing.assert_allclose(asf.offsets[4], [0, 0, 1.5])
    assert asf.unit == pytest.approx(0.0564444, abs=1e-6)


def test_positions_agree_with_plain_kinematics(asf):
    values = _values()
    positions = parse_amc(_amc(values), asf, "tiny.amc").positions()
    assert positions.dtype == np.float32
    np.testing.assert_allclose(positions, _expected(values), atol=1e-3)


def test_bones_keep_their_lengths(asf):
    positions = parse_amc(_amc(_values(20, seed=1)), asf, "tiny.amc").positions()
    bones = np.linalg.norm(positions[:, 1:] - positions[:, asf.parents[1:]], axis=-1)
    np.testing.assert_allclose(bones, np.tile([2, 5, 3.5, 1.5], (20, 1)), rtol=1e-4)


def test_bones_may_come_in_any_order(asf):
    values = _values()
    shuffled = parse_amc(_amc(values, ("arm", "foot", "root", "leg")), asf, "tiny.amc")
    np.testing.assert_array_equal(shuffled.values, parse_amc(_amc(values), asf, "").values)


def test_frames_that_hold_whole_numbers(asf):
    values = np.full((3, 12), 2.0)
    content = _amc(values).replace(b"2.0", b"2").replace(b"\n", b"\r\n")
    np.testing.assert_array_equal(parse_amc(content, asf, "tiny.amc").values, values)


def test_radians():
    text = ASF.replace("angle deg", "angle rad").replace("orientation 0 90 0", "orientation 0 0 0")
    for degrees in ("10 20 -30", "0 45 5", "180 0 90"):
        text = text.replace(f"axis {degrees}", "axis 0 0 0")
    asf = parse_asf(text.encode(), "tiny.asf")
    values = np.zeros((1, 12))
    values[0, 4] = np.pi / 2
    hip = parse_amc(_amc(values), asf, "tiny.amc").positions()[0, 1]
    np.testing.assert_allclose(hip, [0, 1, -2], atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (":hierarchy", ":nothing", "section or a value"),
        ("    root hip arm\n", "    root hip\n", "does not hold every bone"),
        ("    leg foot\n", "    shin foot\n", "does not lead from the root to 'foot'"),
        ("length 3.5", "length long", "could not convert"),
        ("length 3.5", "length nan", "not finite"),
        ("dof rx rz", "dof rx rx", "are not distinct"),
        ("dof rx rz", "dof rx l", "are not distinct"),
        ("axis 0 45 5 ZYX", "axis 0 45 5 ZZX", "no order of XYZ"),
        ("axis 0 45 5 ZYX", "axis 0 45", "should be 3 numbers"),
        ("axis 0 45 5 ZYX", "axis 0 45 5", "section or a value"),
        ("length 0.45", "length 0", "unit of length"),
        ("name foot", "title foot", "section or a value"),
    ],
)
def test_broken_skeletons(old, new, reason):
    assert old in ASF
    with pytest.raises(AsfAmcError, match=f"tiny.asf.*{reason}"):
        parse_asf(ASF.replace(old, new, 1).encode(), "tiny.asf")
    for cut in range(0, len(ASF) - 20, 97):
        with pytest.raises(AsfAmcError, match="tiny.asf"):
            parse_asf(ASF[:cut].encode(), "tiny.asf")


def test_broken_takes(asf):
    good = _amc(_values(4))
    cases = [
        (b"", "no frame of motion"),
        (good.split(b"\n3\n")[0] + b"\n4\n" + good.split(b"\n4\n")[1], "numbered one after"),
        (good[: len(good) - 40], "words of motion"),
        (good.replace(b"foot", b"toes"), "'toes' where a bone"),
        (_amc(_values(2), ("root", "leg", "foot")), "lacks values of arm"),
        (good.replace(b"leg", b"leg nan", 1).replace(b"foot", b"", 1), "tiny.amc"),
        (good[::-1], "tiny.amc"),
        (b"\x00\xff" * 100, "tiny.amc"),
        (HEADER.encode() + good.split(b"\n2\n")[1], "does not begin with a numbered frame"),
    ]
    for content, reason in cases:
        with pytest.raises(AsfAmcError, match=reason):
            parse_amc(content, asf, "tiny.amc")
    values = _values(3)
    values[1, 5] = np.nan
    with pytest.raises(AsfAmcError, match="tiny.amc has motion values that are NaN"):
        parse_amc(_amc(values), asf, "tiny.amc")
    with pytest.raises(AsfAmcError, match="does not list the same bones"):
        other = _amc(_values(2), ("root", "foot", "leg", "arm")).split(b"\n2\n")[1]
        parse_amc(_amc(_values(1)) + b"2\n" + other, asf, "tiny.amc")
    with pytest.raises(AsfAmcError, match="no numbers"):
        parse_amc(good.replace(b"arm ", b"arm x", 1), asf, "tiny.amc")


def test_recorded_walk(shared_data):
    archive = shared_data / "cmu" / "clips.tar.xz"
    found = {}
    with tarfile.open(archive, "r|xz") as members:  # a stream, so that only its start is unpacked
        for member in members:
            if member.name.endswith(("131.asf", "131_12.amc")):
                found[member.name[-3:]] = members.extractfile(member).read()
            if len(found) == 2:
                break
    asf = parse_asf(found["asf"], "131.asf")
    amc = parse_amc(found["amc"], asf, "131_12.amc")
    positions = amc.positions() * asf.unit
    place = {name: positions[:, i] for i, name in enumerate(asf.joint_names)}
    bones = np.linalg.norm(positions[:, 1:] - positions[:, asf.parents[1:]], axis=-1)
    assert np.ptp(bones, axis=0).max() < 1e-4
    standing = place["head"][:60, 1] - np.minimum(place["ltoes"], place["rtoes"])[:60, 1]
    assert 1.4 < standing.mean() < 1.9
    feet = np.minimum(place["ltoes"][:, 1], place["rtoes"][:, 1])
    assert np.abs(feet).mean() < 0.06
    # the person's own left: up x forward, forward being where the toes point
    forward = place["ltoes"] - place["lfoot"] + place["rtoes"] - place["rfoot"]
    left = np.cross([0, 1, 0], forward)
    across = place["lclavicle"] - place["rclavicle"]
    assert ((left * across).sum(-1) > 0).mean() > 0.9
