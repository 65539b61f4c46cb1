import pytest

from motionmamba.data.text.sides import swap_sides


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("turns left and raises his right arm", "turns right and raises his left arm"),
        ("Left foot first, then RIGHT.", "Right foot first, then LEFT."),
        ("is right-handed, kicks left-footed", "is left-handed, kicks right-footed"),
        ("throws lefts and rights", "throws rights and lefts"),
        ("moves leftward with the righthand", "moves rightward with the lefthand"),
        ("crosses left over right", "crosses right over left"),
        (
            "goes to the left, his right the whole time",
            "goes to the right, his left the whole time",
        ),
        ("walks clockwise", "walks counterclockwise"),
        ("turns counter-clockwise", "turns clockwise"),
        ("turns counter clockwise", "turns clockwise"),
        ("spins Anticlockwise", "spins Clockwise"),
        ("turns right after three steps", "turns left after three steps"),
        ("left hand is left hanging", "right hand is left hanging"),
    ],
)
def test_sides_are_exchanged(text, mirrored):
    assert swap_sides(text) == mirrored


@pytest.mark.parametrize(
    "text",
    [
        *("goes right away", "right now he sits", "everything is all right", "the upright man"),
        *("bends at a right angle", "stands right behind a chair", "stops right in front of it"),
        *("a man left the room", "he has left", "somebody left behind", "picks up the leftovers"),
        *("walks brightly", "stands alright", "a cleft"),
    ],
)
def test_words_that_are_no_sides_stay(text):
    assert swap_sides(text) == text


def test_swapping_twice_gives_the_text_again():
    text = "Steps to the left, turns clockwise, then kicks with the right leg and the left foot."
    assert swap_sides(text) != text and swap_sides(swap_sides(text)) == text
