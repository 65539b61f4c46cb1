import os
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.spatial.transform import Rotation

from motionmamba.motion.skeleton import HUMANML3D
from motionmamba.motion.smpl import SmplModel, axis_angle_to_matrix, read_arrays

# The made-up body is that of the tests of AMASS.
sys.path.append(str(Path(__file__).parents[1] / "data"))
from amass_files import body_arrays, recording, slow_joints

KINDS = pytest.mark.parametrize("kind", ["smpl", "smplh", "smplx"])


@pytest.fixture
def chumpy(monkeypatch):
    """Stands in for the package while pickles are written: it is never there to read them."""
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    class Ch:
        __module__ = "chumpy.ch"

        def __init__(self, **state):
            self.__dict__.update(state, _dirty_vars=set(), _itr=None)

    class Select(Ch):
        __module__ = "chumpy.reordering"

    Ch.__qualname__, Select.__qualname__ = "Ch", "Select"
    sys.modules["chumpy.ch"].Ch, sys.modules["chumpy.reordering"].Select = Ch, Select
    return types.SimpleNamespace(Ch=Ch, Select=Select, end=monkeypatch.undo)


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 did, which the official pickles come from."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def _save(path, arrays):
    np.savez(path, **arrays)
    return path


def _dump(path, value, protocol=2, pickler=pickle.Pickler):
    with path.open("wb") as file:
        pickler(file, protocol).dump(value)
    return path


def _same(model, other):
    np.testing.assert_allclose(model.template, other.template, atol=1e-12)
    np.testing.assert_allclose(model.shape_directions, other.shape_directions, atol=1e-12)
    assert model.parents == other.parents


@KINDS
@pytest.mark.parametrize("num_betas", [0, 10, 16])
def test_joints_are_those_of_slow_kinematics(tmp_path, kind, num_betas):
    arrays = body_arrays(kind)
    model = SmplModel.load(_save(tmp_path / "model.npz", arrays))
    assert model.kind == kind
    take = recording(7, model.num_joints)
    betas = take["betas"][:num_betas]
    joints = model.joints(take["poses"], take["trans"], betas)
    expected = slow_joints(arrays, take["poses"], take["trans"], betas)
    assert joints.dtype == np.float32 and joints.shape == (7, model.num_joints, 3)
    np.testing.assert_allclose(joints, expected, atol=1e-6)
    body = model.joints(take["poses"][:, :66], take["trans"], betas)
    np.testing.assert_array_equal(body, joints[:, : HUMANML3D.num_joints])


def test_at_rest_the_body_has_its_shape(tmp_path):
    arrays = body_arrays()
    model = SmplModel.load(_save(tmp_path / "model.npz", arrays))
    betas = np.linspace(-2, 2, 16)
    joints = model.joints(np.zeros((2, 156)), np.array([[0, 0, 0], [1, 2, 3.0]]), betas)
    vertices = arrays["v_template"] + arrays["shapedirs"] @ betas
    np.testing.assert_allclose(joints[0], arrays["J_regressor"] @ vertices, atol=1e-6)
    np.testing.assert_allclose(joints[1] - joints[0], np.tile([1, 2, 3], (52, 1)), atol=1e-6)


def test_tensors_batches_and_gradients(tmp_path):
    model = SmplModel.load(_save(tmp_path / "model.npz", body_arrays()))
    takes = [recording(5, seed=seed) for seed in range(3)]
    poses, trans, betas = (
        torch.tensor(np.stack([t[name] for t in takes])) for name in ("poses", "trans", "betas")
    )
    batch = model.joints(poses, trans, betas[:, None])
    assert batch.dtype == torch.float64
    for i, take in enumerate(takes):
        np.testing.assert_allclose(batch[i], model.joints(**take), atol=1e-6)
    by_frame = model.joints(poses[0], trans[0], betas[0].expand(5, -1))
    torch.testing.assert_close(by_frame, batch[0])
    assert model.joints(poses.float(), trans.float(), betas[:, None].float()).dtype == torch.float32

    still = torch.zeros(1, 156, dtype=torch.float64, requires_grad=True)
    model.joints(still, torch.zeros(1, 3).double(), betas[0])[0, 20].sum().backward()
    assert torch.isfinite(still.grad).all() and still.grad.abs().max() > 0.1


def test_rotations_to_the_world(tmp_path):
    model = SmplModel.load(_save(tmp_path / "model.npz", body_arrays()))
    poses = torch.zeros(1, 156, dtype=torch.float64)
    poses[0, 3 * 9 : 3 * 9 + 3] = torch.tensor([0.3, -0.4, 0.5])
    _, rotations = model.transforms(poses, torch.zeros(1, 3).double(), torch.zeros(1).double())
    turned = Rotation.from_rotvec([0.3, -0.4, 0.5]).as_matrix()
    above = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    for joint in range(52):
        expected = np.eye(3) if joint in above else turned
        np.testing.assert_allclose(rotations[0, joint], expected, atol=1e-12)


@pytest.mark.parametrize("angle", [0, 1e-9, 1e-3, 1.0, np.pi, 5.0, 50.0])
def test_axis_angle(angle):
    axes = np.random.default_rng(0).normal(size=(4, 3))
    axes *= angle / np.linalg.norm(axes, axis=1, keepdims=True)
    matrices = axis_angle_to_matrix(torch.from_numpy(axes))
    np.testing.assert_allclose(matrices, Rotation.from_rotvec(axes).as_matrix(), atol=1e-12)


@pytest.mark.parametrize(
    ("poses", "trans", "betas", "message"),
    [
        ((4, 157), (4, 3), 10, "3 K"),
        ((4, 0), (4, 3), 10, "3 K"),
        ((4, 159), (4, 3), 10, "3 K"),
        ((4, 156), (5, 3), 10, "3 K"),
        ((156,), (3,), 10, "3 K"),
        ((4, 156), (4, 3), 17, "at most 16"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, poses, trans, betas, message):
    model = SmplModel.load(_save(tmp_path / "model.npz", body_arrays()))
    with pytest.raises(ValueError, match=message):
        model.joints(np.zeros(poses), np.zeros(trans), np.zeros(betas))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_pickle_of_plain_and_sparse_arrays(tmp_path, protocol):
    arrays = body_arrays()
    model = SmplModel.load(_save(tmp_path / "model.npz", arrays))
    for make in (scipy.sparse.csc_matrix, scipy.sparse.csr_matrix):
        sparse = arrays | {"J_regressor": make(arrays["J_regressor"]), "bs_style": "lbs"}
        _same(SmplModel.load(_dump(tmp_path / "model.pkl", sparse, protocol)), model)
    ordered = arrays | {"v_template": np.asfortranarray(arrays["v_template"].astype(">f4"))}
    loaded = SmplModel.load(_dump(tmp_path / "model.pkl", ordered, protocol))
    np.testing.assert_allclose(loaded.template, model.template, atol=1e-6)


@pytest.mark.parametrize("pickler", [pickle.Pickler, Python2Pickler])
@pytest.mark.parametrize("protocol", [1, 2])
def test_pickle_of_chumpy_arrays(tmp_path, chumpy, protocol, pickler):
    arrays = body_arrays()
    model = SmplModel.load(_save(tmp_path / "model.npz", arrays))
    directions = arrays["shapedirs"]
    all_directions = np.concatenate([directions, np.ones_like(directions)], axis=-1)
    chosen = np.arange(all_directions.size).reshape(all_directions.shape)[..., :16]
    official = arrays | {
        "v_template": chumpy.Ch(x=arrays["v_template"]),
        "shapedirs": chumpy.Select(
            a=chumpy.Ch(x=all_directions), idxs=chosen.ravel(), preferred_shape=directions.shape
        ),
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "vert_sym_idxs": np.arange(5),
    }
    path = _dump(tmp_path / "model.pkl", official, protocol, pickler)
    chumpy.end()
    assert "chumpy" not in sys.modules
    _same(SmplModel.load(path), model)
    weights = read_arrays(path, ("weights", "f"))
    np.testing.assert_array_equal(weights["weights"], arrays["weights"])
    np.testing.assert_array_equal(weights["f"], arrays["f"])


class Malicious:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_malicious_pickles_run_nothing(tmp_path, protocol):
    mark = tmp_path / "mark"
    calls = [
        Malicious(os.system, (f"touch {mark}",)),
        Malicious(eval, (f"open({str(mark)!r}, 'w')",)),
        Malicious(getattr, (Malicious(__import__, ("os",)), "system")),
        Malicious(np.save, (str(mark), np.zeros(3))),
        Malicious(np.memmap, (str(mark), "u1", "w+", 0, (3,))),
        Malicious(np.ndarray, ((2,), np.dtype(float), bytearray(16))),
    ]
    for call in calls:
        path = _dump(tmp_path / "model.pkl", body_arrays() | {"v_template": call}, protocol)
        with pytest.raises(ValueError) as error:
            SmplModel.load(path)
        assert "\n" not in str(error.value) and "no SMPL" in str(error.value)
        assert not list(tmp_path.glob("mark*"))
    with pytest.raises(ValueError, match=r"names \w+\.system, which no model needs"):
        SmplModel.load(_dump(path, calls[0], protocol))


def _without(name):
    return {key: array for key, array in body_arrays().items() if key != name}


def _nan(name):
    arrays = body_arrays()
    arrays[name].flat[5] = np.nan
    return arrays


def _other_tree():
    arrays = body_arrays()
    arrays["kintree_table"][0, 4] = 2
    return arrays


def _child_first():
    arrays = body_arrays()
    arrays["kintree_table"][0, 30] = 31
    return arrays


BAD = {
    "it lacks J_regressor": _without("J_regressor"),
    "its shapedirs has NaN": _nan("shapedirs"),
    r"its v_template is \(208, 2\)": body_arrays() | {"v_template": np.zeros((208, 2))},
    "its v_template is no array of numbers": body_arrays() | {"v_template": np.array("a")},
    r"its J_regressor is \(52, 7\)": body_arrays() | {"J_regressor": np.zeros((52, 7))},
    "its 52 joints hang together otherwise": _other_tree(),
    "its 16 joints": body_arrays()
    | {"J_regressor": np.zeros((16, 208)), "kintree_table": np.zeros((2, 16))},
    "before its parent": _child_first(),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_models_are_refused(tmp_path, message):
    for path in (_save(tmp_path / "a.npz", BAD[message]), _dump(tmp_path / "a.pkl", BAD[message])):
        with pytest.raises(ValueError, match=message) as error:
            SmplModel.load(path)
        assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_broken_files_are_refused(tmp_path):
    _save(tmp_path / "whole.npz", body_arrays())
    _dump(tmp_path / "whole.pkl", body_arrays())
    objects = body_arrays() | {"v_template": np.array([None, {}], dtype=object)}
    contents = {
        "empty.pkl": b"",
        "text.npz": b"no model",
        "cut.npz": (tmp_path / "whole.npz").read_bytes()[:5000],
        "cut.pkl": (tmp_path / "whole.pkl").read_bytes()[:5000],
        "list.pkl": pickle.dumps([1, 2]),
        "objects.pkl": pickle.dumps(objects),
        "stand_in.pkl": pickle.dumps(body_arrays() | {"v_template": np.dtype(float)}),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "objects.npz", **objects)
    for name in (*contents, "objects.npz", "missing.npz", ""):
        with pytest.raises(ValueError, match="no SMPL") as error:
            SmplModel.load(tmp_path / name)
        assert "\n" not in str(error.value)


@KINDS
def test_joints_are_those_of_smplx(tmp_path, kind):
    """Against the code of the models' authors, where that is installed."""
    lbs = pytest.importorskip("smplx.lbs").lbs
    arrays = body_arrays(kind)
    model = SmplModel.load(_save(tmp_path / "model.npz", arrays))
    take = recording(6, model.num_joints)
    names = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
    template, directions, corrections, regressor, weights = (
        torch.from_numpy(arrays[name]) for name in names
    )
    betas, poses = torch.from_numpy(take["betas"]).expand(6, -1), torch.from_numpy(take["poses"])
    body = (template, directions, corrections.flatten(0, 1).T, regressor)
    _, expected = lbs(betas, poses, *body, torch.tensor(model.parents), weights)
    expected = expected.numpy() + take["trans"][:, None]
    np.testing.assert_allclose(model.joints(**take), expected, atol=2e-6)
