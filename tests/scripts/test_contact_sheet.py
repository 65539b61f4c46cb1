import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "contact_sheet.py"


@pytest.fixture
def checkpoint(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def draw(out, *options):
    command = [sys.executable, SCRIPT, "--seconds", 1, *options, "--out", out]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)


def test_a_column_for_each_model_and_a_row_for_each_sentence(checkpoint, tmp_path):
    sentences = "--prompt", "a person walks", "--prompt", "a person bows"
    models = (f"--checkpoint={name}={checkpoint}" for name in ("one", "two", "three"))
    alone, beside = tmp_path / "alone.png", tmp_path / "beside.png"
    for out, options in ((alone, [f"--checkpoint={checkpoint}"]), (beside, models)):
        done = draw(out, *options, *sentences)
        assert done.returncode == 0, done.stderr
    # two columns of one sentence and six poses each; three of two sentences and four poses
    one, three = (Image.open(path).size for path in (alone, beside))
    assert three[0] == pytest.approx(one[0], abs=30)
    assert three[1] == pytest.approx(2 * one[1], abs=4)
    assert len(Image.open(beside).convert("RGB").getcolors()) > 50


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    told = draw(tmp_path / "no.png", "--checkpoint=one=nowhere/at/all")
    assert told.returncode == 2 and len(told.stderr.splitlines()) == 1
    assert not (tmp_path / "no.png").exists()
