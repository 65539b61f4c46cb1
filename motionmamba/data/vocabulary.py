"""The words of the caption grammar: verb phrases of each action, words of each style."""

from __future__ import annotations

from dataclasses import dataclass

# A phrase begins with a verb in its base form, more verbs are marked by "~". {s} is the side,
# {p} the possessive. Phrases that hold for some extents only stand under their name.
_RAISE_ONE = {
    "": (
        *("raise the {s} hand", "raise {p} {s} hand", "raise the {s} arm", "raise {p} {s} arm"),
        *("lift the {s} hand", "lift {p} {s} hand", "lift the {s} arm", "lift {p} {s} arm up"),
        *("lift up {p} {s} arm", "raise up the {s} hand", "put {p} {s} hand up"),
        *("put up the {s} hand", "put the {s} arm up", "bring the {s} hand up"),
        *("bring {p} {s} arm up", "move the {s} arm upward", "move {p} {s} hand up"),
        *("hold up the {s} hand", "hold {p} {s} arm up", "use the {s} hand to reach up"),
        *("raise one hand, the {s} one", "lift one arm, the {s} one", "raise the hand on the {s}"),
        *("raise only the {s} arm", "lift just the {s} hand", "raise the arm on {p} {s} side"),
        *("raise {p} {s} hand and ~lower it again", "lift the {s} arm and ~put it back down"),
        *("put {p} {s} hand up, then down again", "raise the {s} arm up and down"),
        *("raise the {s} hand as if to answer", "show {p} {s} hand", "raise {s} hand"),
        *("raise {s} arm", "lift {s} arm up", "raise a hand", "raise one arm", "put one hand up"),
    ),
    "high": (
        *("raise {p} {s} arm up high", "raise the {s} hand above the head"),
        *("lift {p} {s} hand over {p} head", "lift the {s} arm into the air"),
        *("hold {p} {s} arm up high", "stretch the {s} arm up", "stretch {p} {s} arm overhead"),
        *("reach up with the {s} hand", "reach up high with {p} {s} arm"),
        *("stretch {p} {s} arm toward the ceiling", "point upward with the {s} arm"),
        *("put {p} {s} hand in the air", "raise the {s} hand high in the air"),
        *("extend {p} {s} arm overhead", "hold the {s} hand above {p} head"),
        *("reach for the ceiling with the {s} hand", "raise the {s} arm straight up"),
        *("bring {p} {s} hand up over the head", "swing the {s} arm up overhead"),
    ),
    "head": (
        *("raise the {s} hand to head height", "lift {p} {s} hand up to the head"),
        *("bring the {s} hand up beside {p} head", "raise {p} {s} hand to the face"),
        *("lift the {s} arm up to eye level", "hold the {s} hand up next to {p} head"),
    ),
    "low": (
        *("raise the {s} hand to shoulder height", "lift {p} {s} hand up to the shoulder"),
        *("raise {p} {s} hand a little", "lift the {s} hand in front of {p} chest"),
        *("bring {p} {s} hand up to the shoulder", "raise the {s} hand halfway"),
    ),
}
_RAISE_BOTH = {
    "": (
        *("raise both hands", "raise {p} hands", "raise both arms", "raise {p} arms"),
        *("raise {p} two hands", "raise the two arms", "lift both hands", "lift {p} hands"),
        *("lift both arms up", "lift {p} arms", "lift up both arms", "put both hands up"),
        *("put {p} hands up", "put both arms up", "hold both hands up", "hold up {p} hands"),
        *("bring both hands up", "bring up two hands", "move both arms upward"),
        *("raise both hands at once", "raise the left and the right hand together"),
        *("lift the left arm and the right arm", "raise both {p} arms at the same time"),
        *("raise both hands and ~lower them again", "lift both arms and ~put them back down"),
        *("put both hands up, then down again", "raise two hands", "raise each arm"),
        *("use both hands to reach up", "raise both arms up and down"),
    ),
    "high": (
        *("raise both arms up high", "raise both hands above the head", "lift {p} arms overhead"),
        *("raise {p} hands over {p} head", "lift both arms into the air"),
        *("stretch both arms up", "reach up with both hands", "reach for the sky with both arms"),
        *("put {p} hands in the air", "throw both hands up", "hold both arms up high"),
        *("extend both arms overhead", "raise two hands into the air"),
        *("stretch {p} arms toward the ceiling", "raise both arms straight up"),
        *("cheer with both arms up", "swing both arms up overhead"),
    ),
    "head": (
        *("raise both hands to head height", "lift {p} hands up to the head"),
        *("bring both hands up beside {p} head", "hold both hands up next to the head"),
        *("raise {p} hands to the face", "lift both arms up to eye level"),
    ),
    "low": (
        *("raise both hands to shoulder height", "lift {p} hands up to the shoulders"),
        *("raise both hands a little", "lift both hands in front of {p} chest"),
        *("bring both hands up to the shoulders", "raise both arms halfway"),
    ),
}
_WAVE_ONE = {
    "": (
        *("wave the {s} hand", "wave {p} {s} hand", "wave {p} {s} arm", "wave the {s} arm"),
        *("wave with the {s} hand", "wave with {p} {s} hand", "wave with {p} {s} arm"),
        *("wave hello with the {s} hand", "wave hello with {p} {s} hand"),
        *("wave hi using the {s} hand", "wave using {p} {s} hand", "wave hello, {s} hand"),
        *("wave goodbye with the {s} hand", "wave goodbye with {p} {s} arm"),
        *("wave bye with the {s} hand", "wave at someone with {p} {s} hand"),
        *("wave to a friend with the {s} hand", "wave to the crowd using {p} {s} arm"),
        *("greet somebody by waving the {s} hand", "greet a friend with {p} {s} hand waving"),
        *("give a wave with the {s} hand", "give someone a wave with {p} {s} hand"),
        *("say hello with a wave of the {s} hand", "say goodbye by waving {p} {s} hand"),
        *("raise the {s} hand and ~wave", "lift {p} {s} arm and ~wave it"),
        *("put {p} {s} hand up and ~wave", "hold up the {s} hand to wave"),
        *("wave {s} hand", "wave {p} hand, the {s} one", "wave with the arm on the {s}"),
        *("wave only with the {s} hand", "wave a hand", "wave with one hand", "wave hello"),
    ),
    "wide": (
        *("swing the {s} hand from side to side", "wave {p} {s} arm back and forth"),
        *("move {p} raised {s} hand from side to side", "shake the {s} hand in the air"),
        *("swing {p} {s} arm back and forth in the air", "signal with {p} {s} arm"),
        *("move the {s} arm back and forth to greet somebody",),
    ),
    "high": (
        *("wave the {s} hand above the head", "wave {p} {s} hand high in the air"),
        *("wave {p} {s} arm overhead", "hold {p} {s} hand up high and ~wave"),
        *("reach up and ~wave with the {s} hand",),
    ),
    "head": ("wave the {s} hand beside {p} head", "wave {p} {s} hand at head height"),
    "low": (
        *("wave the {s} hand at shoulder height", "wave a little with {p} {s} hand"),
        *("give a small wave with the {s} hand", "wave {p} {s} hand in front of the chest"),
    ),
}
_WAVE_BOTH = {
    "": (
        *("wave both hands", "wave {p} hands", "wave both arms", "wave {p} arms"),
        *("wave with both hands", "wave with two hands", "wave with both arms"),
        *("wave {p} two arms", "wave hello with both hands", "wave hi using both hands"),
        *("wave goodbye with both hands", "wave goodbye with both arms", "wave bye, both hands"),
        *("wave at someone with both hands", "wave to a friend with {p} two hands"),
        *("wave the left and the right hand together", "wave to the crowd using both arms"),
        *("greet somebody by waving both hands", "greet a friend with both arms waving"),
        *("give a wave with both arms", "give someone a wave with both hands"),
        *("say hello with both hands waving", "say goodbye by waving both hands"),
        *("raise both hands and ~wave", "lift {p} arms and ~wave them"),
        *("put both hands up and ~wave", "hold up both hands to wave"),
        *("wave both hands at once", "wave both {p} arms at the same time"),
    ),
    "wide": (
        *("swing both hands from side to side", "wave both arms back and forth"),
        *("move {p} raised hands from side to side", "shake both hands in the air"),
        *("swing {p} arms back and forth in the air", "signal with both arms"),
    ),
    "high": (
        *("wave both hands above the head", "wave {p} hands high in the air"),
        *("wave both arms overhead", "hold both hands up high and ~wave"),
    ),
    "head": ("wave both hands beside {p} head", "wave {p} hands at head height"),
    "low": (
        *("wave both hands at shoulder height", "wave a little with both hands"),
        *("give a small wave with both hands", "wave {p} hands in front of the chest"),
    ),
}
_WALK = (
    *("walk", "walk forward", "walk forwards", "walk straight ahead", "walk ahead", "walk along"),
    *("walk straight", "walk in a straight line", "walk straight forward", "stroll forward"),
    *("stroll along", "go for a walk", "take a walk", "go forward on foot", "step forward"),
    *("take several steps forward", "walk a few steps", "move forward at a walk"),
    *("walk across the room", "walk from one place to another", "make {p} way forward"),
    *("keep walking", "travel forward on foot", "walk a few meters forward"),
    "put one foot in front of the other",
)
_RUN = (
    *("run", "run forward", "run forwards", "run straight ahead", "run ahead", "run along"),
    *("run straight", "run in a straight line", "jog", "jog forward", "jog along"),
    *("jog straight ahead", "go for a run", "go jogging", "move forward at a run"),
    *("move forward running", "run across the room", "keep running", "run a few meters"),
    *("take running steps forward", "run from one place to another"),
)
_SPRINT = (
    *("sprint", "sprint forward", "sprint straight ahead", "dash", "dash forward"),
    *("dash ahead", "run forward very fast", "run as fast as possible", "run at full speed"),
    *("rush forward", "race forward", "run at a sprint", "run hard"),
)
_TURN = (
    *("walk and ~turn {s}", "walk and ~turn to the {s}", "walk and ~make a {s} turn"),
    *("walk forward and then ~turn {s}", "walk forward, turning {s}", "walk a {s} turn"),
    *("walk forward, then ~turn to the {s}", "walk around a corner to the {s}"),
    *("walk in a curve to the {s}", "walk in a {s} curve", "walk along a curve to the {s}"),
    "walk a quarter circle to the {s}",
    *("walk and ~turn ninety degrees to the {s}", "turn {s} while walking"),
    *("turn to the {s} while walking", "make a {s} turn while walking", "take a {s} turn"),
    *("turn {s} and ~keep walking", "change direction to the {s} while walking"),
    *("curve to the {s} while walking", "go around a corner to the {s}"),
    *("stroll and ~turn {s}", "walk, bending to the {s}", "walk ahead and ~go {s}"),
    *("walk {s}", "walk to the {s}", "walk forward and ~curve {s}", "turn {s}"),
    *("walk toward the {s}", "make a quarter turn to the {s} while walking"),
)
_UTURN = (
    *("walk a half circle to the {s}", "walk and ~turn around to the {s}"),
    *("make a u-turn to the {s} while walking", "walk and ~come back in a curve to the {s}"),
    *("turn around to the {s} while walking", "walk in a wide curve to the {s}"),
    *("walk in a semicircle to the {s}", "turn back to the {s} while walking"),
    *("walk forward, ~turn around and ~walk back", "turn around while walking"),
)
_CIRCLE = (
    *("walk in a circle", "walk around in a circle", "walk a full circle", "walk in circles"),
    *("walk a circle to the {s}", "walk in a circle to the {s}", "go around in a circle"),
    *("walk around in a circle, turning {s}", "circle around to the {s}"),
    *("walk in a circle, always turning {s}", "walk a circle and ~come back to the start"),
    *("walk along a circle toward the {s}", "go round and round, turning {s}"),
)
_DIAGONAL = (
    *("walk forward and to the {s}", "walk diagonally to the {s}", "walk to the {s}"),
    *("walk forward, drifting to the {s}", "drift to the {s} while walking forward"),
    *("move diagonally toward the {s}", "walk with steps to the {s}", "veer {s} while walking"),
    *("walk ahead, shifting to the {s}", "walk at an angle to the {s}"),
    *("move to the {s} without turning", "step forward and to the {s}"),
)
_BACK = (
    *("walk backward", "walk backwards", "walk back", "go backward", "go backwards"),
    *("step back", "step backward several times", "take several steps back"),
    *("take steps backward", "move backward on foot", "move backwards", "back away"),
    *("back up", "walk straight back", "walk rearward", "move back step by step"),
)
_STAND = (
    *("stand still", "stand", "stand in place", "remain standing", "stand without moving"),
    *("stand there", "do nothing", "stand idle", "stay in place", "stand and ~wait"),
    *("stand motionless", "keep still", "stand calmly", "wait while standing"),
)
_BOW = {
    "": (
        *("bow", "bow politely", "bow forward", "take a bow", "bend forward to bow"),
        *("bend at the waist", "greet somebody with a bow", "bow to somebody", "bow and ~rise"),
        *("lean forward and ~bow", "make a bow", "bow in greeting", "bend {p} upper body"),
    ),
    "deep": ("bow deeply", "bow down low", "take a deep bow", "bend far forward to bow"),
    "slight": ("bow slightly", "give a small bow", "nod in a small bow", "lower the head to bow"),
}
_GUIDE = (
    *("show the way with the {s} hand", "point the way with {p} {s} hand"),
    *("invite somebody with the {s} hand", "gesture with {p} {s} arm to show the way"),
    *("direct someone with the {s} arm", "hold out the {s} hand to show the way"),
    *("usher somebody along with the {s} hand", "guide someone with {p} {s} hand"),
    *("stretch out {p} {s} arm to guide somebody", "point forward with the {s} hand"),
    *("offer the way with {p} {s} hand", "extend the {s} arm forward as a guide"),
)
_CALL = (
    *("call out to somebody", "call out with both hands at the mouth", "yell to somebody far"),
    *("shout through cupped hands", "bring both hands to the mouth and ~shout"),
)
_KICK = (
    *("kick with the {s} leg", "kick with {p} {s} foot", "throw a {s} kick"),
    *("practice kicks with the {s} leg", "do martial arts kicks with the {s} foot"),
)
_PUNCH = (
    *("punch with the {s} hand", "throw punches with {p} {s} fist", "box with the {s} hand"),
    *("jab with {p} {s} fist", "punch the air with the {s} fist"),
)
_SLASH = (
    *("slash with a sword", "swing a sword with both hands", "fight with a sword"),
    *("slash the air with both hands", "practice sword strikes"),
)
_DANCE = ("dance", "perform a dance", "dance to music", "do dance moves", "dance around")
_SQUAT = ("squat", "do squats", "squat down and ~get up", "bend the knees deeply", "do knee bends")
_JUMP = ("jump", "jump up", "jump in place", "hop with both feet", "jump up and down", "leap up")

ACTIONS = {
    "raise": (_RAISE_ONE, _RAISE_BOTH),
    "wave": (_WAVE_ONE, _WAVE_BOTH),
    "walk": {"": _WALK},
    "run": {"": _RUN},
    "sprint": {"": _SPRINT},
    "turn": {"": _TURN},
    "uturn": {"": _UTURN},
    "circle": {"": _CIRCLE},
    "diagonal": {"": _DIAGONAL},
    "back": {"": _BACK},
    "stand": {"": _STAND},
    "bow": _BOW,
    "guide": {"": _GUIDE},
    "call": {"": _CALL},
    "kick": {"": _KICK},
    "punch": {"": _PUNCH},
    "slash": {"": _SLASH},
    "dance": {"": _DANCE},
    "squat": {"": _SQUAT},
    "jump": {"": _JUMP},
}
STANDING = ("raise", "wave", "bow", "guide", "call")
GAITS = ("walk", "run", "sprint", "back")


@dataclass(frozen=True)
class Style:
    """Words for a style: before or after a verb, at an end, before a noun, instead of it."""

    adverbs: tuple[str, ...]
    phrases: tuple[str, ...]
    adjectives: tuple[str, ...] = ()
    subjects: tuple[tuple[str, str], ...] = ()


_ELDERLY = Style(
    ("feebly", "stiffly", "weakly", "carefully"),
    (
        *("like an old man", "like an old woman", "like an elderly person", "with old bones"),
        *("like a grandfather", "as if very old", "in an elderly manner"),
    ),
    ("old", "elderly", "aged"),
    (
        *(("an old man", "his"), ("an old woman", "her"), ("an elderly person", "their")),
        *(("an old person", "their"), ("an elderly man", "his"), ("a senior", "their")),
        *(("a grandpa", "his"), ("a grandma", "her")),
    ),
)
_EXHAUSTED = Style(
    ("tiredly", "wearily", "sluggishly", "lazily"),
    (
        *("exhausted", "out of energy", "as if exhausted", "looking tired", "with heavy limbs"),
        *("like a tired person", "as if very tired", "without any strength"),
    ),
    ("tired", "exhausted", "weary", "worn-out"),
    (("a tired person", "their"), ("an exhausted man", "his"), ("an exhausted person", "their")),
)
_ACTIVE = Style(
    ("energetically", "actively", "vigorously", "powerfully"),
    (
        *("with a lot of energy", "in an active way", "with power", "with great energy"),
        *("in an energetic manner", "with vigor", "bursting with energy"),
    ),
    ("energetic", "active", "lively"),
    (("an energetic person", "their"), ("an active person", "their")),
)
_FEMININE = Style(
    ("gracefully", "delicately", "elegantly", "softly"),
    ("in a feminine way", "like a lady", "with feminine grace", "like an elegant woman"),
    ("graceful", "feminine", "elegant"),
    (("an elegant lady", "her"), ("a graceful woman", "her")),
)
_MASCULINE = Style(
    ("firmly", "toughly", "sturdily"),
    ("in a masculine way", "like a tough man", "in a manly way", "like a strong man"),
    ("manly", "masculine", "tough"),
    (("a tough guy", "his"), ("a strong man", "his"), ("a macho man", "his")),
)
_YOUTHFUL = Style(
    ("youthfully", "lightly", "cheerily"),
    (
        *("like a young person", "in a youthful way", "like a teenager", "with youthful energy"),
        *("full of youth", "like a young adult"),
    ),
    ("young", "youthful"),
    (("a young man", "his"), ("a young woman", "her"), ("a teenager", "their")),
)
STYLES = {
    "normal": Style(
        ("normally", "calmly", "casually"),
        ("at ease", "in a normal way", "in a relaxed way", "as usual"),
    ),
    "active": _ACTIVE,
    "elderly": _ELDERLY,
    "old": _ELDERLY,
    "exhausted": _EXHAUSTED,
    "tired": _EXHAUSTED,
    "feminine": _FEMININE,
    "masculine": _MASCULINE,
    "masculinity": _MASCULINE,
    "youthful": _YOUTHFUL,
    "angry": Style(
        ("angrily", "furiously"),
        ("in anger", "as if angry", "full of rage"),
        ("angry", "furious"),
        (("an angry man", "his"), ("an angry person", "their")),
    ),
    "childish": Style(
        ("childishly", "playfully"),
        ("like a child", "like a little kid", "in a childish way"),
        ("childish", "playful"),
        (("a child", "their"), ("a kid", "their"), ("a small child", "their")),
    ),
    "chimpira": Style(
        ("aggressively", "cockily"),
        ("like a thug", "like a gangster", "with a swagger"),
        ("cocky", "rough"),
        (("a thug", "his"), ("a gangster", "his"), ("a punk", "his")),
    ),
    "giant": Style(
        ("heavily", "ponderously"),
        ("like a giant", "as if huge and heavy", "as if enormous"),
        ("giant", "huge"),
        (("a giant", "his"), ("a huge monster", "its")),
    ),
    "happy": Style(
        ("happily", "cheerfully", "joyfully"),
        ("full of joy", "in a good mood", "as if very happy"),
        ("happy", "cheerful"),
    ),
    "musical": Style(
        ("rhythmically", "theatrically"),
        ("to the rhythm of music", "like in a musical", "as if on stage"),
        ("musical",),
    ),
    "not-confident": Style(
        ("timidly", "hesitantly", "shyly", "nervously"),
        ("without confidence", "as if afraid", "lacking confidence"),
        ("shy", "timid", "insecure"),
    ),
    "proud": Style(
        ("proudly", "confidently"), ("full of pride", "with great pride"), ("proud", "confident")
    ),
    "sad": Style(
        ("sadly", "gloomily"),
        ("in a sad mood", "as if depressed", "feeling down"),
        ("sad", "gloomy", "depressed"),
    ),
}
PACE = {
    "slow": ("slowly", "at a slow pace", "very slowly"),
    "fast": ("quickly", "fast", "at a fast pace"),
    "": (),
}
SUBJECTS = (
    *(("a person", "their"), ("the person", "their"), ("someone", "their"), ("a man", "his")),
    *(("somebody", "their"), ("the man", "his"), ("a guy", "his"), ("a boy", "his")),
    *(("a woman", "her"), ("the woman", "her"), ("a girl", "her"), ("a lady", "her")),
    *(("he", "his"), ("she", "her"), ("a human", "their"), ("the figure", "the")),
    *(("a person", "their"), ("a man", "his"), ("a woman", "her"), ("one person", "their")),
)
IN_PLACE = ("while standing", "while standing still", "in place", "standing on the spot")
SENTENCES = {  # whole sentences and noun phrases; "one" is for a single hand
    ("raise", "one"): (
        *("the {s} hand goes up", "{p} {s} arm goes up", "the {s} arm goes up and down"),
        *("the {s} arm goes up while the other one stays down", "a {s} hand raise"),
        *("{s} hand up", "{s} arm up", "{s} arm raised", "{s} hand raised", "a raised {s} hand"),
        *("it is the {s} hand that is raised", "raising of the {s} arm", "hand up, {s}"),
        *("the person's {s} hand is lifted", "one hand goes up, the {s} one", "{s} arm lift"),
        *("a person with the {s} hand up", "someone whose {s} arm is raised"),
    ),
    ("raise", "both"): (
        *("both hands go up", "{p} arms go up", "both arms go up and down", "both hands up"),
        *("hands up", "both arms raised", "raising of both arms", "two hands go up"),
        *("the person's hands are both lifted", "a person with both hands up"),
    ),
    ("wave", "one"): (
        *("the {s} hand waves", "the {s} arm waves while the other one hangs down"),
        *("a wave with the {s} hand", "{s} hand waving", "{s} hand wave", "{s} arm waving"),
        *("it is the {s} hand that waves", "the person's {s} hand is waving"),
        *("one hand waves, the {s} one", "a greeting with the {s} hand waving"),
        *("someone whose {s} hand waves", "a {s} handed wave"),
    ),
    ("wave", "both"): (
        *("both hands wave", "both arms wave at once", "a wave with both hands"),
        *("both hands waving", "two hands wave", "the person's hands are both waving"),
        *("a two handed wave", "a greeting with both hands waving"),
    ),
    ("walk", ""): ("a walk forward", "a walk", "a straight walk", "steps forward"),
    ("run", ""): ("a run forward", "a run", "a straight run", "a jog forward"),
    ("back", ""): ("a walk backward", "steps backward", "a backward walk"),
    ("turn", "one"): (
        *("a walk with a turn to the {s}", "a {s} turn", "a walk that bends to the {s}"),
        *("walking with a {s} turn", "a {s} turn while walking", "the path curves to the {s}"),
    ),
    ("circle", "one"): ("a walk in a circle", "a circle to the {s}", "a full circle on foot"),
    ("bow", ""): ("a bow", "a polite bow", "a bow of greeting"),
    ("stand", ""): ("a standing person", "a person at rest", "standing pose"),
}
REPEATS = {
    2: ("twice", "two times", "and then once more", "again and again", "one time after another"),
    3: ("three times", "three times in a row", "again and again", "repeatedly"),
    4: ("several times", "many times", "again and again", "repeatedly", "over and over"),
}
SEQUENCES = (
    *("{a}, then {b}", "{a} and then {b}", "{a} and {b} after that", "first {a}, then {b}"),
    *("{a}; afterwards {subject} {b}", "{a} before {subject} {b}", "{a}, and next {b}"),
    *("{a}, after which {subject} {b}", "{a} and afterwards {b}", "{a}. then {subject} {b}"),
)
CONTINUED = ("{a}, then {b}", "{a}, {b}", "{a}, and then {b}")
