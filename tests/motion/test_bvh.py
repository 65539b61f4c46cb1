import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motionmamba.motion.bvh import BvhError, parse_bvh, read_bvh

ARM = """HIERARCHY
ROOT Hips
{
\tOFFSET 1.0 2.0 3.0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Arm
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
  JOINT Leg
  {
    OFFSET 0 -10 0
    CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    JOINT Foot
    {
      OFFSET 0 0 4
      CHANNELS 0
      End Site { OFFSET 0 0 1 }
    }
  }
}
MOTION
Frames:\t2
Frame Time:\t0.05
0 90 0  0 0 0   0 0 0   1 -10 0  0 0 0 \x20
5 90 0 90 0 0   0 0 0   0 -10 0  0 0 90
"""


def test_known_positions():
    bvh = parse_bvh(ARM.encode(), "arm.bvh")
    assert bvh.joint_names == ("Hips", "Arm", "Leg", "Foot")
    assert bvh.parents == (-1, 0, 0, 2)
    assert bvh.fps == pytest.approx(20.0)
    positions = bvh.positions()
    assert positions.dtype == np.float32
    # channels of position replace the offset; without them the offset holds
    np.testing.assert_allclose(
        positions[0], [[0, 90, 0], [0, 100, 0], [1, 80, 0], [1, 80, 4]], atol=1e-5
    )
    # the hips turn +y to -x; the leg's own turn about y then takes its +z to its +x
    np.testing.assert_allclose(
        positions[1], [[5, 90, 0], [-5, 90, 0], [15, 90, 0], [15, 94, 0]], atol=1e-5
    )


def test_windows_line_ends_and_case(tmp_path):
    path = tmp_path / "arm.bvh"
    path.write_bytes(ARM.replace("\n", "\r\n").replace("Zrotation", "ZRotation").encode())
    expected = parse_bvh(ARM.encode(), "arm.bvh").positions()
    np.testing.assert_array_equal(read_bvh(path).positions(), expected)


@pytest.mark.parametrize("seed", range(6))
def test_matches_slow_forward_kinematics(seed):
    rng = np.random.default_rng(seed)
    joints = int(rng.integers(2, 9))
    parents = [-1, *(int(rng.integers(j)) for j in range(1, joints))]
    offsets = rng.normal(size=(joints, 3)).round(4)
    orders = ["".join(rng.permutation(list("XYZ"))) for _ in range(joints)]
    moving = rng.random(joints) < 0.5
    channels = [
        [*(f"{a}position" for a in "XYZ" if move), *(f"{a}rotation" for a in order)]
        for move, order in zip(moving, orders, strict=True)
    ]
    values = rng.uniform(-180, 180, size=(3, sum(map(len, channels)))).round(4)
    text, order = _write(parents, offsets, channels, values)
    bvh = parse_bvh(text.encode(), "random.bvh")
    expected = _slow(parents, offsets, orders, moving, values, order)
    np.testing.assert_allclose(bvh.positions(), expected[:, order], atol=2e-3)


def _write(parents, offsets, channels, values):
    """A BVH text and the depth-first order in which it names the joints."""
    order, lines = [], ["HIERARCHY"]

    def add(joint):
        order.append(joint)
        lines.append(f"{'JOINT' if parents[joint] >= 0 else 'ROOT'} j{joint} {{")
        lines.append("OFFSET " + " ".join(map(str, offsets[joint])))
        lines.append(f"CHANNELS {len(channels[joint])} " + " ".join(channels[joint]))
        children = [j for j, p in enumerate(parents) if p == joint]
        for child in children:
            add(child)
        if not children:
            lines.append("End Site { OFFSET 0 0 0 }")
        lines.append("}")

    add(0)
    lines += ["MOTION", f"Frames: {len(values)}", "Frame Time: 0.01"]
    lines += [" ".join(map(str, row)) for row in values]
    return "\n".join(lines), order


def _slow(parents, offsets, orders, moving, values, order):
    result = np.zeros((len(values), len(parents), 3))
    for t, row in enumerate(values):
        row, places, turns = list(row), {}, {}
        for joint in order:
            local = offsets[joint]
            if moving[joint]:
                local, row = np.array(row[:3]), row[3:]
            turn = Rotation.from_euler(orders[joint], row[:3], degrees=True)
            row = row[3:]
            if parents[joint] < 0:
                places[joint], turns[joint] = local, turn
            else:
                parent = parents[joint]
                places[joint] = places[parent] + turns[parent].apply(local)
                turns[joint] = turns[parent] * turn
            result[t, joint] = places[joint]
    return result


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("HIERARCHY", "HIERACHY", "broken header"),
        ("OFFSET 0 10 0", "OFFSET 0 10", "broken header"),
        ("OFFSET 0 10 0", "OFFSET 0 nan 0", "finite OFFSET"),
        ("Zrotation", "Wrotation", "broken header"),
        ("}\nMOTION", "MOTION", "not closed"),
        ("\nMOTION", "\nMOTIONS", "no MOTION"),
        ("Frames:", "Frame count:", "Frames:"),
        ("Frames:\t2", "Frames:\t0", "0 frames"),
        ("Frames:\t2", "Frames:\t3", "motion values"),
        ("0.05", "0", "frame time"),
        ("0.05", "inf", "frame time"),
        ("5 90 0", "5 nan 0", "NaN or infinite"),
        ("5 90 0", "5 inf 0", "NaN or infinite"),
        ("5 90 0", "5 up 0", "no numbers"),
        ("5 90 0", "5 90", "motion values"),
    ],
)
def test_errors_name_the_file(old, new, words):
    assert old in ARM
    with pytest.raises(BvhError, match=words) as error:
        parse_bvh(ARM.replace(old, new, 1).encode(), "arm.bvh")
    assert "arm.bvh" in str(error.value)
    assert str(error.value).endswith(".")


def test_any_cut_of_a_file_is_an_error():
    for end in range(0, len(ARM) - 12, 7):
        with pytest.raises(BvhError):
            parse_bvh(ARM[:end].encode(), "cut.bvh")


def test_end_sites_are_joints_where_asked_for():
    bvh = parse_bvh(ARM.encode(), "arm.bvh", end_sites=True)
    assert bvh.joint_names == ("Hips", "Arm", "Arm End Site", "Leg", "Foot", "Foot End Site")
    assert bvh.parents == (-1, 0, 1, 0, 3, 4)
    positions = bvh.positions()
    np.testing.assert_array_equal(
        positions[:, [0, 1, 3, 4]], parse_bvh(ARM.encode(), "arm.bvh").positions()
    )
    np.testing.assert_allclose(positions[0, [2, 5]], [[0, 105, 0], [1, 80, 5]], atol=1e-5)


def test_a_byte_order_mark_is_passed_over():
    marked = parse_bvh(b"\xef\xbb\xbf" + ARM.encode(), "arm.bvh")
    assert marked.joint_names == ("Hips", "Arm", "Leg", "Foot")
    with pytest.raises(BvhError, match="end site has children"):
        parse_bvh(ARM.replace("OFFSET 0 5 0", "OFFSET 0 5 0 JOINT A {").encode(), "arm.bvh")
