"""Captions for motions whose content and style are known only as labels.

A grammar writes them: a subject, a verb phrase for the content, words for the style, in several
forms and orders. They are templated, which data sets made with them must say. The grammar was
checked against the recordings: which hand, which way, how fast.
"""

from dataclasses import dataclass, replace

import numpy as np

OTHER_SIDE = {"left": "right", "right": "left", "both": "both", "": ""}


@dataclass(frozen=True)
class Action:
    """What a recording shows: a `kind` of ACTIONS and the side it is done with or to.

    `style` is a key of STYLES; `pace` one of slow, fast or nothing, when that was measured.
    """

    kind: str
    side: str = ""
    style: str = "normal"
    pace: str = ""

    def mirrored(self) -> "Action":
        return replace(self, side=OTHER_SIDE[self.side])


# Verb phrases begin with a verb in its base form. {s} is the side, {p} the possessive.
_RAISE_ONE = (
    "raise the {s} hand",
    "raise {p} {s} hand",
    "raise the {s} arm",
    "raise {p} {s} arm",
    "raise {p} {s} arm up high",
    "raise the {s} hand above the head",
    "lift the {s} hand",
    "lift {p} {s} arm",
    "lift {p} {s} arm up",
    "lift the {s} arm into the air",
    "put {p} {s} hand up",
    "put the {s} arm up",
    "hold the {s} hand up",
    "hold {p} {s} arm up high",
    "stretch the {s} arm up",
    "stretch {p} {s} arm toward the ceiling",
    "reach up with the {s} hand",
    "reach up high with {p} {s} arm",
    "point upward with the {s} hand",
    "stick {p} {s} hand in the air",
    "bring the {s} hand up",
    "move the {s} arm upward",
    "extend {p} {s} arm overhead",
    "throw the {s} hand up",
    "raise one hand, the {s} one",
    "ask a question with {p} {s} hand up",
)
_RAISE_BOTH = (
    "raise both hands",
    "raise {p} hands",
    "raise both arms",
    "raise {p} arms",
    "raise both arms up high",
    "raise both hands above the head",
    "raise the left and the right hand",
    "lift both hands",
    "lift {p} arms",
    "lift both arms up",
    "put both hands up",
    "put {p} arms up",
    "hold both hands up",
    "stretch both arms up",
    "reach up with both hands",
    "reach for the sky with both arms",
    "throw both arms up",
    "throw {p} hands in the air",
    "bring two hands up",
    "move both arms upward",
    "extend both arms overhead",
    "raise two hands into the air",
    "cheer with both arms up",
)
_WAVE_ONE = (
    "wave the {s} hand",
    "wave {p} {s} hand",
    "wave {p} {s} arm",
    "wave with the {s} hand",
    "wave with {p} {s} arm",
    "wave hello with the {s} hand",
    "wave hello with {p} {s} hand",
    "wave hi using the {s} hand",
    "wave goodbye with the {s} hand",
    "wave at someone with {p} {s} hand",
    "wave to a friend with the {s} hand",
    "greet somebody by waving the {s} hand",
    "greet a friend with {p} {s} hand waving",
    "swing the {s} hand from side to side in the air",
    "move {p} raised {s} hand from side to side",
    "shake the {s} hand in the air",
    "give a wave with the {s} hand",
    "say hello with a wave of the {s} hand",
    "signal with {p} {s} arm",
    "raise the {s} hand and wave",
    "lift {p} {s} arm and wave it",
    "hold up the {s} hand to wave",
)
_WAVE_BOTH = (
    "wave both hands",
    "wave {p} hands",
    "wave both arms",
    "wave {p} arms",
    "wave with both hands",
    "wave with two hands",
    "wave hello with both hands",
    "wave goodbye with both arms",
    "wave at someone with both hands",
    "wave the left and the right hand together",
    "greet somebody by waving both hands",
    "greet a friend with both arms waving",
    "swing both hands from side to side in the air",
    "move {p} raised arms from side to side",
    "shake both hands in the air",
    "give a big wave with both arms",
    "say hello with both hands waving",
    "signal with both arms",
    "raise both hands and wave",
    "lift {p} arms and wave them",
)
_WALK = (
    "walk",
    "walk forward",
    "walk straight ahead",
    "walk ahead",
    "walk along",
    "walk in a straight line",
    "stroll forward",
    "stroll along",
    "go for a walk",
    "go forward on foot",
    "step forward",
    "take several steps forward",
    "march ahead",
    "move forward at a walk",
    "walk down the street",
)
_RUN = (
    "run",
    "run forward",
    "run straight ahead",
    "run ahead",
    "run along",
    "run in a straight line",
    "jog",
    "jog forward",
    "jog along",
    "go for a run",
    "move forward at a run",
    "run down the street",
    "race forward",
)
_SPRINT = (
    "sprint",
    "sprint forward",
    "dash",
    "dash forward",
    "dash ahead",
    "run very fast",
    "run as fast as possible",
    "run at full speed",
    "rush forward",
)
_TURN = (
    "walk and turn {s}",
    "walk and turn to the {s}",
    "walk and make a {s} turn",
    "walk forward and then turn {s}",
    "walk forward, turning {s}",
    "walk around a corner to the {s}",
    "walk in a curve to the {s}",
    "walk in a {s} curve",
    "walk a quarter circle to the {s}",
    "turn {s} while walking",
    "turn to the {s} while walking",
    "make a {s} turn while walking",
    "take a {s} turn",
    "change direction to the {s} while walking",
    "curve to the {s} while walking",
    "go around a corner to the {s}",
    "stroll and turn {s}",
    "walk, bending to the {s}",
    "walk ahead and go {s}",
    "veer {s} while walking",
)
_DIAGONAL = (
    "walk forward and to the {s}",
    "walk diagonally to the {s}",
    "walk forward, drifting to the {s}",
    "walk ahead and sidestep to the {s}",
    "move forward toward the {s} side",
    "walk with steps to the {s}",
)
_BACK = (
    "walk backward",
    "walk backwards",
    "walk back",
    "go backward",
    "step back",
    "step backward several times",
    "take several steps back",
    "move backward on foot",
    "back away",
    "back up",
    "retreat on foot",
    "walk in reverse",
)
_BOW = (
    "bow",
    "bow politely",
    "bow down",
    "bow forward",
    "take a bow",
    "bend forward to bow",
    "bend at the waist",
    "greet somebody with a bow",
    "lower the head and bow",
)
_GUIDE = (
    "show the way with the {s} hand",
    "point the way with {p} {s} hand",
    "invite somebody with the {s} hand",
    "gesture to the {s} with {p} {s} arm",
    "direct someone with the {s} arm",
    "hold out the {s} hand to show the way",
    "usher somebody along with the {s} hand",
)
_CALL = (
    "call out to somebody",
    "call out with both hands at the mouth",
    "shout through cupped hands",
    "lean forward and shout",
)
_KICK = (
    "kick with the {s} leg",
    "kick with {p} {s} foot",
    "do {s} kicks and spins",
    "practice kicks with the {s} leg",
)
_PUNCH = ("punch", "throw punches", "box", "punch the air", "fight with both fists")
_SLASH = (
    "slash with a sword",
    "swing a sword",
    "slash the air with both hands",
    "fight with a sword",
)
_DANCE = ("dance", "dance with turns", "perform a dance", "dance and spin around")
_SQUAT = ("squat", "do squats", "squat down and get up", "bend the knees deeply", "do knee bends")
_JUMP = ("jump", "jump up", "jump in place", "hop with both feet", "jump up and down", "leap up")

ACTIONS = {
    "raise": (_RAISE_ONE, _RAISE_BOTH),
    "wave": (_WAVE_ONE, _WAVE_BOTH),
    "walk": _WALK,
    "run": _RUN,
    "sprint": _SPRINT,
    "turn": _TURN,
    "diagonal": _DIAGONAL,
    "back": _BACK,
    "bow": _BOW,
    "guide": _GUIDE,
    "call": _CALL,
    "kick": _KICK,
    "punch": _PUNCH,
    "slash": _SLASH,
    "dance": _DANCE,
    "squat": _SQUAT,
    "jump": _JUMP,
}
STANDING = ("raise", "wave", "bow", "guide", "call")

# Words for a style: adverbs (also before a verb), phrases (at the end), adjectives (of a person).
_ELDERLY = (
    ("slowly", "feebly", "stiffly"),
    ("like an old man", "like an old woman", "like an elderly person", "with old bones"),
    ("old", "elderly", "aged"),
)
_EXHAUSTED = (
    ("tiredly", "wearily", "sluggishly"),
    ("exhausted", "out of energy", "as if exhausted", "worn out", "with heavy limbs"),
    ("tired", "exhausted", "weary", "worn-out"),
)
_ACTIVE = (
    ("energetically", "actively", "vigorously", "briskly"),
    ("with a lot of energy", "full of energy", "in an active way", "with power"),
    ("energetic", "lively", "active"),
)
_FEMININE = (
    ("gracefully", "delicately", "elegantly"),
    ("in a feminine way", "like a lady", "with feminine grace"),
    ("graceful", "feminine", "elegant"),
)
_MASCULINE = (
    ("firmly", "toughly"),
    ("in a masculine way", "like a tough man", "in a manly way"),
    ("manly", "masculine", "tough"),
)
_YOUTHFUL = (
    ("youthfully", "lightly", "playfully"),
    ("like a young person", "in a youthful way", "like a teenager"),
    ("young", "youthful"),
)
STYLES = {
    "normal": (("normally", "calmly"), ("at ease", "in a normal way"), ()),
    "active": _ACTIVE,
    "elderly": _ELDERLY,
    "old": _ELDERLY,
    "exhausted": _EXHAUSTED,
    "tired": _EXHAUSTED,
    "feminine": _FEMININE,
    "masculine": _MASCULINE,
    "masculinity": _MASCULINE,
    "youthful": _YOUTHFUL,
    "angry": (("angrily", "furiously"), ("in anger", "as if angry", "mad"), ("angry", "furious")),
    "childish": (
        ("childishly", "playfully"),
        ("like a child", "like a little kid", "in a childish way"),
        ("childish", "playful"),
    ),
    "chimpira": (
        ("aggressively", "cockily"),
        ("like a thug", "like a gangster", "with a swagger"),
        ("cocky", "rough"),
    ),
    "giant": (
        ("heavily", "ponderously"),
        ("like a giant", "with huge heavy limbs", "as if enormous"),
        ("giant", "huge"),
    ),
    "happy": (("happily", "cheerfully", "joyfully"), ("full of joy", "in a good mood"), ("happy",)),
    "musical": (
        ("rhythmically",),
        ("to the rhythm of music", "like in a musical", "as if dancing"),
        ("musical",),
    ),
    "not-confident": (
        ("timidly", "hesitantly", "shyly"),
        ("without confidence", "as if afraid"),
        ("shy", "timid", "insecure"),
    ),
    "proud": (("proudly", "confidently"), ("full of pride", "with the head high"), ("proud",)),
    "sad": (("sadly", "gloomily"), ("in a sad mood", "with the head down"), ("sad", "gloomy")),
}
_PACE = {"slow": ("slowly", "at a slow pace"), "fast": ("quickly", "at a fast pace"), "": ()}
_SUBJECTS = (
    ("a person", "their"),
    ("the person", "their"),
    ("someone", "their"),
    ("somebody", "their"),
    ("a man", "his"),
    ("the man", "his"),
    ("a guy", "his"),
    ("a boy", "his"),
    ("a woman", "her"),
    ("the woman", "her"),
    ("a girl", "her"),
    ("a lady", "her"),
    ("he", "his"),
    ("she", "her"),
    ("a human", "their"),
    ("the figure", "the"),
)
_IN_PLACE = ("while standing", "while standing still", "without moving the feet", "in place")
_SENTENCES = {  # whole sentences for one hand; {n} is the one that stays where it is
    "raise": (
        "the {s} hand goes up",
        "{p} {s} arm goes up while the {n} one stays down",
        "a {s} hand raise",
        "{s} hand up",
        "{s} arm raised",
        "it is the {s} hand that is raised",
        "raising of the {s} arm",
        "not the {n} but the {s} hand is lifted",
    ),
    "wave": (
        "the {s} hand waves",
        "the {s} arm waves while the {n} one hangs down",
        "a wave with the {s} hand",
        "{s} hand waving",
        "it is the {s} hand that waves",
        "not the {n} but the {s} hand is waved",
    ),
}
_REPEATS = ("twice", "two times", "again and again", "repeatedly")
_SEQUENCES = (
    "{a}, then {b}",
    "{a} and then {b}",
    "{a} and {b} after that",
    "first {a}, then {b}",
    "{a}; afterwards {subject} {b}",
)


def write_captions(action: Action, rng: np.random.Generator, count: int) -> list[str]:
    """Distinct captions of an action, at most `count` of them."""
    return _distinct(lambda: _caption(action, rng), count)


def write_joined_captions(
    first: Action, second: Action, rng: np.random.Generator, count: int
) -> list[str]:
    """Captions of two actions one after the other, or of the same one done twice."""
    if first == second:
        if first.kind in STANDING:
            return _distinct(lambda: _caption(first, rng, repeated=rng.random() < 0.5), count)
        return write_captions(first, rng, count)
    return _distinct(lambda: _sequence(first, second, rng), count)


def _distinct(write, count: int) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(8 * count):
        if len(found) == count:
            break
        found.setdefault(write())
    return list(found)


def _caption(action: Action, rng: np.random.Generator, repeated: bool = False) -> str:
    chance = rng.random()
    if action.side in ("left", "right") and chance < 0.12 and not repeated:
        if sentences := _SENTENCES.get(action.kind):
            return _finish(
                _with_style(_fill(_pick(sentences, rng), action, "the"), action, rng), rng
            )
    subject, possessive = _subject(action, rng)
    phrase = _phrase(action, possessive, rng)
    if repeated:
        phrase = f"{phrase} {_pick(_REPEATS, rng)}"
    if chance < 0.6:
        text = f"{subject} {third_person(phrase)}"
    elif chance < 0.8:
        text = f"{subject} is {gerund(phrase)}"
    elif chance < 0.9:
        text = phrase
    else:
        text = gerund(phrase)
    if not repeated and action.kind in STANDING and rng.random() < 0.1:
        text = f"{text} {_pick(_IN_PLACE, rng)}"
    if any(a in subject.split() for a in STYLES[action.style][2]) and rng.random() < 0.6:
        return _finish(text, rng)
    return _finish(_with_style(text, action, rng), rng)


def _sequence(first: Action, second: Action, rng: np.random.Generator) -> str:
    subject, possessive = _subject(first, rng)
    a = f"{subject} {third_person(_phrase(first, possessive, rng))}"
    b = third_person(_phrase(second, possessive, rng))
    pronoun = {"his": "he", "her": "she"}.get(possessive, "the person")
    return _finish(_pick(_SEQUENCES, rng).format(a=a, b=b, subject=pronoun), rng)


def _subject(action: Action, rng: np.random.Generator) -> tuple[str, str]:
    subject, possessive = _pick(_SUBJECTS, rng)
    adjectives = STYLES[action.style][2]
    article, _, noun = subject.partition(" ")
    if adjectives and noun and rng.random() < 0.35:
        adjective = _pick(adjectives, rng)
        if article == "a" and adjective[0] in "aeiou":
            article = "an"
        subject = f"{article} {adjective} {noun}"
    return subject, possessive


def _phrase(action: Action, possessive: str, rng: np.random.Generator) -> str:
    phrases = ACTIONS[action.kind]
    if isinstance(phrases[0], tuple):
        phrases = phrases[action.side == "both"]
    return _fill(_pick(phrases, rng), action, possessive)


def _fill(template: str, action: Action, possessive: str) -> str:
    return template.format(s=action.side, p=possessive, n=OTHER_SIDE[action.side])


def _with_style(text: str, action: Action, rng: np.random.Generator) -> str:
    adverbs, phrases, _ = STYLES[action.style]
    plain = action.style == "normal"
    if plain and action.pace and rng.random() < 0.5:
        return f"{text} {_pick(_PACE[action.pace], rng)}"
    if rng.random() < (0.75 if plain else 0.12):
        return text
    words = _pick(adverbs + phrases, rng)
    order = rng.random()
    if order < 0.55:
        return f"{text} {words}"
    if order < 0.8:
        return f"{text}, {words}"
    return f"{words}, {text}"


def _finish(text: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.1:
        text = text[0].upper() + text[1:]
    return f"{text}." if rng.random() < 0.1 else text


def _pick(options, rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]


def third_person(phrase: str) -> str:
    """`raise a hand` -> `raises a hand`, every verb that an `and` or a comma joins included."""
    return _conjugate(phrase, _third_person)


def gerund(phrase: str) -> str:
    """`raise a hand` -> `raising a hand`, every verb that an `and` or a comma joins included."""
    return _conjugate(phrase, _gerund)


def _conjugate(phrase: str, form) -> str:
    words = phrase.split(" ")
    words[0] = _inflect(words[0], form)
    for i in range(1, len(words)):
        joined = words[i - 1] == "and" or words[i - 1] == "then" and words[i - 2] == "and"
        if joined and words[i] in _JOINED_VERBS:
            words[i] = _inflect(words[i], form)
    return " ".join(words)


_JOINED_VERBS = ("turn", "make", "wave", "bow", "shout", "spin", "sidestep", "go", "get")


def _inflect(word: str, form) -> str:
    verb = word.rstrip(",")
    return form(verb) + word[len(verb) :]


def _third_person(verb: str) -> str:
    return verb + ("es" if verb.endswith(("ch", "sh", "x", "s", "o")) else "s")


_DOUBLED = ("run", "jog", "step", "put", "hop", "get")


def _gerund(verb: str) -> str:
    if verb.endswith("e"):
        return verb[:-1] + "ing"
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    return verb + "ing"
