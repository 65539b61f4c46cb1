import os
import subprocess
import sys
from itertools import pairwise

import imageio_ffmpeg
import numpy as np
import pytest
from body_motions import write_human
from PIL import Image

from motionmamba import cli
from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion import Motion
from motionmamba.motion.bvh import read_bvh


@pytest.fixture
def model(pipeline, tmp_path):
    folder = tmp_path / "model"
    pipeline.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command as a shell would: gives its exit status, output and errors."""

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["motionmamba", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, motionmamba; print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert output.stdout.strip() == "[]"


def test_generate_writes_a_video(command, model, tmp_path):
    out = tmp_path / "jump.mp4"
    status, printed, _ = command(
        "generate", "he jumps", "--seconds", 1, "--model", model, "--out", out, "--device", "cpu"
    )
    assert status == 0 and str(out) in printed and "seed 0" in printed
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(out))
    assert frames >= 20 and seconds == pytest.approx(1.0, abs=0.1)


def test_generate_tells_which_length_it_took(command, predicting, tmp_path):
    model, out = tmp_path / "model", tmp_path / "motion.npy"
    predicting.save_pretrained(model)
    options = ("--model", model, "--out", out, "--device", "cpu")
    status, printed, _ = command("generate", "he jumps", *options)
    frames = predicting.length_predictor.predict(*predicting.text_encoder.encode(["he jumps"]))
    assert status == 0 and len(np.load(out)) == frames.item()
    assert f"{frames.item() / 20:.1f} s of motion as predicted from the sentence," in printed
    assert "1.0 s of motion, seed" in command("generate", "he jumps", "--seconds", 1, *options)[1]
    assert "LengthPredictor" in command("info", "--model", model)[1]


def test_generate_is_reproduced_by_its_seed(command, model, tmp_path):
    def joints(seed):
        out = tmp_path / "motion.npy"
        options = ("--seconds", 1, "--seed", seed, "--model", model, "--device", "cpu")
        assert command("generate", "he jumps", *options, "--out", out)[0] == 0
        return np.load(out)

    first = joints(3)
    assert first.shape == (20, 22, 3)
    np.testing.assert_array_equal(first, joints(3))
    assert np.abs(first - joints(4)).max() > 1e-3


def test_render_draws_joints_from_a_file(command, tmp_path):
    joints = np.random.default_rng(0).normal(size=(8, 22, 3)).astype(np.float32)
    np.save(tmp_path / "motion.npy", joints)
    out = tmp_path / "motion.png"
    assert command("render", tmp_path / "motion.npy", "--out", out)[0] == 0
    assert out.stat().st_size > 1000


def test_convert_writes_bvh(command, tmp_path):
    joints = np.random.default_rng(0).normal(size=(8, 22, 3)).astype(np.float32)
    np.save(tmp_path / "motion.npy", joints)
    out = tmp_path / "motion.bvh"
    status, printed, _ = command("convert", tmp_path / "motion.npy", "--to", out, "--fps", 25)
    assert status == 0 and str(out) in printed
    take = read_bvh(out)
    assert len(take.values) == 8 and take.fps == pytest.approx(25)


def test_convert_goes_round_all_files_that_keep_joints(command, tmp_path):
    joints = make_motion(np.random.default_rng(0))[0]
    np.save(tmp_path / "a.npy", joints)
    places = [tmp_path / name for name in ("a.npy", "b.json", "c.npz", "d.glb", "e.bvh", "f.npy")]
    for source, target in pairwise(places):
        assert command("convert", source, "--to", target)[0] == 0
    assert np.load(places[-1]).shape == joints.shape
    middle = Motion.load(tmp_path / "c.npz")
    for path in places[2:]:
        np.testing.assert_allclose(Motion.load(path).joints, middle.joints, atol=1e-3)
    assert np.linalg.norm(np.load(places[-1]) - joints, axis=-1).mean() < 0.05


def test_convert_to_a_body_of_ones_own(command, tmp_path):
    body = write_human(tmp_path / "model.npz")
    np.save(tmp_path / "a.npy", make_motion(np.random.default_rng(0))[0])
    out = tmp_path / "a.npz"
    assert command("convert", tmp_path / "a.npy", "--to", out, "--smpl-model", body)[0] == 0
    assert "model.npz" in str(np.load(out)["body"])
    status, _, errors = command("convert", out, "--to", tmp_path / "b.npy")
    assert status == 2 and "--smpl-model" in errors
    options = ("--smpl-model", body, "--fps", 30)
    assert command("convert", out, "--to", tmp_path / "b.json", *options)[0] == 0
    assert Motion.load(tmp_path / "b.json").fps == 30


def test_info_names_what_runs(command, model):
    status, printed, _ = command("info", "--model", model)
    assert status == 0
    for word in (
        "torch",
        "scan backend",
        "all-MiniLM-L6-v2",
        "TemporalMotionVAE",
        "MakeHuman",
        "software: ",
    ):
        assert word in printed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["generate", ""], "blank"),
        (["generate", " \t "], "blank"),
        (["generate", "he jumps", "--seconds", "0"], "seconds"),
        (["generate", "he jumps", "--seconds", "-2"], "seconds"),
        (["generate", "he jumps", "--seconds", "nan"], "seconds"),
        (["generate", "he jumps", "--seconds", "1e9"], "seconds"),
        (["generate", "he jumps", "--seconds", "soon"], "--seconds"),
        (["generate", "he jumps", "--colour", "red"], "--colour"),
        (["generate"], "argument"),
        (["generate", "he jumps", "--seconds", "1", "--steps", "0"], "num_inference_steps"),
        (["generate", "he jumps", "--out", "motion.doc"], ".doc"),
        (["generate", "he jumps", "--out", "no/such/folder/motion.mp4"], "does not exist"),
        (["generate", "he jumps", "--model", "."], "model_index.json"),
        (["generate", "he jumps", "--device", "abacus"], "abacus"),
        (["render", "missing.npy"], "missing.npy"),
        (["render", "text.npy"], "text.npy"),
        (["convert", "text.npy"], "--to"),
        (["convert", "missing.npy", "--to", "motion.bvh"], "missing.npy"),
        (["convert", "text.npy", "--to", "motion.bvh"], "text.npy"),
        (["convert", "text.npy", "--to", "motion.fbx"], ".fbx"),
        (["convert", "text.npy", "--to", "no/such/folder/motion.bvh"], "does not exist"),
        (["convert", "text.npy", "--to", "motion.glb", "--smpl-model", "text.npy"], "body model"),
        (["convert", "text.fbx", "--to", "motion.glb"], ".fbx"),
    ],
)
def test_bad_input_ends_in_one_line_and_status_2(
    command, model, tmp_path, monkeypatch, arguments, complaint
):
    work = tmp_path / "work"
    work.mkdir()
    (work / "text.npy").write_text("no array")
    monkeypatch.chdir(work)
    if arguments[0] == "generate" and "--model" not in arguments:
        arguments = [*arguments, "--model", model]
    status, _, errors = command(*arguments)
    assert status == 2 and complaint in errors and "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1
    assert os.listdir(work) == ["text.npy"], "something was left behind"


def test_render_takes_bodies_sizes_and_several_motions(command, tmp_path):
    source, out = tmp_path / "motion.npy", tmp_path / "both.png"
    np.save(source, make_motion(np.random.default_rng(0))[0][:8])
    options = ("--body", "skeleton", "--size", "96x128", "--out", out)
    assert command("render", source, source, *options)[0] == 0
    with Image.open(out) as picture:
        assert picture.height >= 2 * 128
    pictures = tmp_path / "frames" / "%03d.png"
    assert command("render", source, *options[:-1], pictures)[0] == 0
    assert len(list(pictures.parent.iterdir())) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "large"), "--size is 'large', expected width and height"),
        (("--shape", "kind=1"), "the shape 'kind=1' is none of neutral"),
        (("--renderer", "crayons"), "'crayons' is no renderer"),
        (("--body", "robot"), "'robot' is no body to draw"),
        (("--transparent",), "cannot be transparent"),
    ],
)
def test_render_refuses_what_it_cannot_draw(command, tmp_path, options, message):
    source = tmp_path / "motion.npy"
    np.save(source, make_motion(np.random.default_rng(0))[0][:8])
    status, _, error = command("render", source, *options, "--out", tmp_path / "out.mp4")
    assert status == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()


def test_shapes_reach_the_file(command, tmp_path):
    source = tmp_path / "motion.npy"
    np.save(source, make_motion(np.random.default_rng(0))[0][:8])
    out = tmp_path / "motion.npz"
    assert command("convert", source, "--to", out, "--shape", "weight=1.5")[0] == 0
    with np.load(out) as file:
        assert file["betas"][2] == pytest.approx(1.5)
