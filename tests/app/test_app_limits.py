"""What the page takes from strangers, and for how long it keeps it."""

import os
import time

import pytest

from motionmamba.app.about import model_card
from motionmamba.app.limits import (
    LARGEST_SEED,
    LONGEST_PROMPT,
    Line,
    Refused,
    check_look,
    check_prompt,
    check_settings,
)
from motionmamba.app.results import KEPT_SECONDS, PLAYER, Results, download, downloads


def settings(**changes):
    return check_settings(
        **{"prompts": ["a person walks"], "seconds": [6], "max_seconds": 9.8} | changes
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("  a person\n walks\t", "a person walks"),
        ("a\0person\x1b walks", "a person walks"),
        ("person \ud83d walks \u202eback", "person walks back"),
        ("一个人在走路", "一个人在走路"),
        ("dance 💃", "dance 💃"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_a_prompt_becomes_one_line(given, read):
    assert check_prompt(given) == read


@pytest.mark.parametrize(
    "prompt",
    ["", " \n", "\0\0", "💃", "...", None, 7, {"a": 1}, "x" * (LONGEST_PROMPT + 1), "x" * 10**5],
)
def test_what_is_no_sentence_is_refused(prompt):
    with pytest.raises(Refused) as error:
        check_prompt(prompt)
    assert len(str(error.value)) < 200 and str(error.value).endswith(".")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1, 1e300, 10**400, "6", None, True, []]
)
def test_numbers_out_of_range_are_refused(value):
    for name in ("seconds", "variations", "steps", "guidance"):
        if value is None and name != "variations":
            continue  # those of the model
        with pytest.raises(Refused):
            settings(**{name: [value] if name == "seconds" else value})


@pytest.mark.parametrize("seed", [-2, 1.5, LARGEST_SEED + 1, float("nan"), "1"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(Refused, match="seed"):
        settings(seed=seed)


def test_without_a_seed_one_is_drawn():
    drawn = {settings(seed=seed).seed for seed in (None, "", -1, None)}
    assert len(drawn) > 1 and all(0 <= seed <= LARGEST_SEED for seed in drawn)
    assert settings(seed=LARGEST_SEED).seed == LARGEST_SEED


def test_other_choices_are_refused():
    with pytest.raises(Refused, match="DDIM"):
        settings(sampler="../../etc/passwd")
    for figure, colour, shape in (
        ("x", "Blue", {}),
        ("Body", "x", {}),
        ("Body", "Blue", {"age": 9}),
    ):
        with pytest.raises(Refused):
            check_look(figure, colour, shape)
    with pytest.raises(Refused, match="scenes"):
        settings(prompts=["a"] * 7, seconds=[2] * 7)
    assert check_look("Body", "Red", {"age": 1}).shape == {"age": 1.0}


def test_the_line_is_fair_and_bounded():
    line = Line(longest=3, each=2)
    first, second, third = (line.enter(client) for client in ("a", "a", "b"))
    assert [line.place(ticket) for ticket in (first, second, third)] == [0, 1, 2]
    with pytest.raises(Refused, match="in the making"):
        line.enter("a")
    with pytest.raises(Refused, match="full"):
        line.enter("c")
    line.leave(first)
    assert line.place(third) == 1
    line.enter("c")


def test_results_are_found_by_their_name_alone(tmp_path):
    results = Results(tmp_path)
    wanted = settings(look=check_look("Skeleton", "Red", {"age": 0.5}))
    folder = results.new(wanted)
    assert results.find(folder.name) == folder
    assert results.settings(folder.name) == wanted
    assert not results.finished(folder.name)
    (folder / PLAYER).touch()
    assert results.finished(folder.name) and not results.finished("../" + folder.name)
    for name in (
        "",
        "..",
        "../" + tmp_path.name,
        folder.name.upper() + "x",
        "0" * 32,
        None,
        str(folder),
    ):
        with pytest.raises(Refused):
            results.find(name)


def test_old_results_go_and_others_stay(tmp_path):
    results = Results(tmp_path)
    old, kept = results.new(settings()), results.new(settings())
    (old / "motion.glb").write_bytes(b"x")
    other = tmp_path / "of_somebody_else"
    other.mkdir()
    past = time.time() - KEPT_SECONDS - 1
    for folder in (old, other):
        os.utime(folder, (past, past))
    results.new(settings())
    assert not old.exists() and kept.exists() and other.exists()


def test_the_oldest_results_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr("motionmamba.app.results.MOST_BYTES", 15000)
    results = Results(tmp_path)
    folders = [results.new(settings()) for _ in range(3)]
    for age, folder in enumerate(reversed(folders)):
        (folder / "motion.glb").write_bytes(bytes(7000))
        os.utime(folder, (time.time() - 100 * age,) * 2)
    results.prune()
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_several_motions_are_downloaded_as_one_archive(tmp_path):
    assert download(tmp_path, ".glb") is None
    (tmp_path / "motion-seed-1.glb").touch()
    assert download(tmp_path, ".glb").name == "motion-seed-1.glb"
    (tmp_path / "motions.glb.zip").touch()
    assert download(tmp_path, ".glb").name == "motions.glb.zip"
    assert list(downloads(tmp_path)) == [".glb"]


def test_the_card_tells_of_the_model(tmp_path):
    card = model_card(None)
    assert "CC BY-NC 4.0" in card and "recordings" in card and not card.startswith("---")
    assert "](.." not in card
    assert "no model card" in model_card(str(tmp_path))
