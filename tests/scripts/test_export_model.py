import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from motionmamba import MotionMambaPipeline

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export_model.py"


def export(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def test_halves_every_part_and_takes_a_length_predictor_along(pipeline, length_predictor, tmp_path):
    trained, length = tmp_path / "trained", tmp_path / "length"
    pipeline.save_pretrained(trained)
    length_predictor.save_pretrained(length)
    bare, whole, again = (tmp_path / name for name in ("bare", "whole", "again"))
    assert export(trained, "--out", bare).returncode == 0
    assert not (bare / "length_predictor").exists()
    assert export(trained, "--length-predictor", length, "--out", whole).returncode == 0
    assert export(whole, "--out", again).returncode == 0
    for folder in (whole, again):
        for part in ("vae", "denoiser", "length_predictor"):
            assert "_name_or_path" not in json.loads((folder / part / "config.json").read_text())
            kinds = {w.dtype for n, w in weights(folder / part).items() if n not in ("mean", "std")}
            assert kinds == {torch.float16}
        assert weights(folder / "vae")["std"].dtype == torch.float32
        loaded = MotionMambaPipeline.from_pretrained(folder).length_predictor
        prompt = pipeline.text_encoder.encode(["he jumps", "a person walks far away"])
        assert torch.equal(loaded.predict(*prompt), length_predictor.predict(*prompt))


def test_refuses_what_is_no_length_predictor(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "trained")
    for folder, complaint in (("trained", "cannot load"), ("nowhere", "does not exist")):
        options = ("--length-predictor", tmp_path / folder, "--out", tmp_path / "out")
        result = export(tmp_path / "trained", *options)
        assert result.returncode == 2 and complaint in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists()
