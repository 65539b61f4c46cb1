import re

import pytest

from motionmamba.data.text.captions import VERB_FORMS
from motionmamba.data.text.tokens import tag
from motionmamba.data.text.vocabulary import ACTIONS, WITH_BOTH_HANDS

# lines of HumanML3D's texts
OFFICIAL = """
a man kicks something or someone with his left leg.#a/DET man/NOUN kick/VERB something/PRON or/CCONJ someone/PRON with/ADP his/DET left/ADJ leg/NOUN
the standing person kicks with their left foot before going back to their original stance.#the/DET stand/VERB person/NOUN kick/VERB with/ADP their/DET left/ADJ foot/NOUN before/ADP go/VERB back/ADV to/ADP their/DET original/ADJ stance/NOUN
he is flying kick with his left leg#he/PRON is/AUX fly/VERB kick/NOUN with/ADP his/DET left/ADJ leg/NOUN
a person appears to be playing tennis and shoots the ball with the racket in his right hand#a/DET person/NOUN appear/VERB to/PART be/AUX play/VERB tennis/NOUN and/CCONJ shoot/VERB the/DET ball/NOUN with/ADP the/DET racket/NOUN in/ADP his/DET right/ADJ hand/NOUN
walking sideways and almost falling.#walk/VERB sideways/ADV and/CCONJ almost/ADV fall/VERB
a person lunges and hits something, then backing up.#a/DET person/NOUN lunge/VERB and/CCONJ hit/VERB something/PRON then/ADV back/VERB up/ADP
a person is walking in place at a slow pace.#a/DET person/NOUN is/AUX walk/VERB in/ADP place/NOUN at/ADP a/DET slow/ADJ pace/NOUN
a person makes a turn to the right.#a/DET person/NOUN make/VERB a/DET turn/NOUN to/ADP the/DET right/NOUN
a man lifts something on his left and places it down on his right.#a/DET man/NOUN lift/VERB something/PRON on/ADP his/DET left/NOUN and/CCONJ place/VERB it/PRON down/ADP on/ADP his/DET right/NOUN
a figure moshes with their arms backwards in a circle.#a/DET figure/NOUN mosh/VERB with/ADP their/DET arm/NOUN backwards/ADV in/ADP a/DET circle/NOUN
"""  # noqa: E501

# tagged by hand
SENTENCES = """
a/DET person/NOUN walks/VERB forward/ADV
a/DET man/NOUN is/AUX walking/VERB while/SCONJ raising/VERB the/DET left/ADJ hand/NOUN
walk/VERB forward/ADV and/CCONJ then/ADV turn/VERB left/ADV
she/PRON took/VERB a/DET walk/NOUN across/ADP the/DET room/NOUN
a/DET woman/NOUN waves/VERB both/DET of/ADP her/DET hands/NOUN
the/DET wave/NOUN of/ADP his/DET right/ADJ hand/NOUN is/AUX slow/ADJ
they/PRON wave/VERB to/ADP a/DET friend/NOUN
he/PRON gives/VERB a/DET big/ADJ wave/NOUN and/CCONJ waves/VERB again/ADV
a/DET kick/NOUN with/ADP the/DET right/ADJ foot/NOUN
someone/PRON kicks/VERB twice/ADV with/ADP their/DET left/ADJ foot/NOUN
the/DET person/NOUN left/VERB the/DET room/NOUN
he/PRON turns/VERB left/ADV walks/VERB on/ADP and/CCONJ turns/VERB right/ADV
a/DET figure/NOUN steps/VERB to/ADP the/DET left/NOUN
the/DET hand/NOUN on/ADP his/DET left/NOUN rises/VERB slowly/ADV
a/DET person/NOUN takes/VERB three/NUM steps/NOUN forward/ADV and/CCONJ stops/VERB
a/DET forward/ADJ jump/NOUN with/ADP both/DET feet/NOUN
somebody/PRON jumps/VERB up/ADP and/CCONJ down/ADP
a/DET man/NOUN throws/VERB a/DET ball/NOUN with/ADP his/DET right/ADJ arm/NOUN
the/DET tired/ADJ woman/NOUN sits/VERB down/ADP on/ADP a/DET chair/NOUN
a/DET person/NOUN raises/VERB one/NUM hand/NOUN above/ADP their/DET head/NOUN
bow/VERB politely/ADV like/SCONJ an/DET old/ADJ man/NOUN
a/DET polite/ADJ bow/NOUN
he/PRON bows/VERB as/SCONJ if/SCONJ greeting/VERB someone/PRON
let/VERB the/DET left/ADJ arm/NOUN swing/VERB
watch/VERB a/DET woman/NOUN dance/VERB to/ADP music/NOUN
this/DET is/AUX a/DET person/NOUN who/PRON runs/VERB in/ADP a/DET circle/NOUN
there/PRON is/AUX a/DET girl/NOUN running/VERB very/ADV fast/ADV
he/PRON ran/VERB as/ADV fast/ADV as/SCONJ he/PRON could/VERB
a/DET fast/ADJ run/NOUN straight/ADV ahead/ADV
a/DET person/NOUN walks/VERB in/ADP a/DET straight/ADJ line/NOUN
the/DET man/NOUN walks/VERB backward/ADV with/ADP slow/ADJ steps/NOUN
she/PRON is/AUX about/ADV to/PART sit/VERB down/ADP
they/PRON will/VERB turn/VERB around/ADV and/CCONJ walk/VERB back/ADV
a/DET person/NOUN backs/VERB away/ADV from/ADP something/PRON
he/PRON stretches/VERB his/DET back/NOUN
a/DET woman/NOUN puts/VERB her/DET hands/NOUN on/ADP her/DET hips/NOUN
both/DET hands/NOUN go/VERB up/ADP at/ADP the/DET same/ADJ time/NOUN
with/ADP the/DET left/ADJ arm/NOUN raised/VERB a/DET man/NOUN walks/VERB forward/ADV
as/SCONJ she/PRON walks/VERB she/PRON raises/VERB her/DET right/ADJ arm/NOUN
while/SCONJ walking/VERB he/PRON waves/VERB hello/INTJ
a/DET person/NOUN punches/VERB the/DET air/NOUN three/NUM times/NOUN
practice/VERB kicks/NOUN and/CCONJ punches/NOUN
a/DET boxer/NOUN throws/VERB punches/NOUN with/ADP the/DET left/ADJ fist/NOUN
the/DET old/ADJ lady/NOUN walks/VERB stiffly/ADV and/CCONJ looks/VERB sad/ADJ
someone/PRON tired/ADJ walks/VERB slowly/ADV
a/DET person/NOUN stands/VERB still/ADV with/ADP crossed/VERB arms/NOUN
stand/VERB upright/ADV and/CCONJ do/VERB nothing/PRON
a/DET child/NOUN hops/VERB on/ADP one/NUM leg/NOUN
a/DET person/NOUN moves/VERB their/DET hands/NOUN from/ADP side/NOUN to/ADP side/NOUN
he/PRON lifts/VERB it/PRON up/ADP and/CCONJ puts/VERB it/PRON back/ADV down/ADP
the/DET right/ADJ hand/NOUN waves/VERB while/SCONJ the/DET other/ADJ one/NOUN hangs/VERB down/ADP
it/PRON is/AUX the/DET left/ADJ hand/NOUN that/DET waves/VERB
what/PRON she/PRON does/VERB is/AUX walk/VERB forward/ADV
please/INTJ walk/VERB slowly/ADV
a/DET man/NOUN heads/VERB forward/ADV with/ADP his/DET head/NOUN down/ADP
a/DET dancer/NOUN spins/VERB around/ADV and/CCONJ around/ADV
a/DET person/NOUN walks/VERB around/ADP a/DET table/NOUN
he/PRON has/AUX been/AUX standing/VERB in/ADP place/NOUN
she/PRON has/VERB both/DET arms/NOUN in/ADP the/DET air/NOUN
a/DET person/NOUN does/VERB two/NUM squats/NOUN and/CCONJ a/DET jump/NOUN
a/DET human/NOUN uses/VERB the/DET left/ADJ hand/NOUN to/PART reach/VERB up/ADP high/ADV
raise/VERB your/DET hand/NOUN to/ADP head/NOUN height/NOUN
the/DET person/NOUN crawls/VERB on/ADP hands/NOUN and/CCONJ knees/NOUN
somebody/PRON climbs/VERB up/ADP a/DET ladder/NOUN
a/DET person/NOUN picks/VERB up/ADP a/DET box/NOUN and/CCONJ carries/VERB it/PRON away/ADV
first/ADV he/PRON bends/VERB forward/ADV then/ADV he/PRON straightens/VERB up/ADP again/ADV
"""


def _pairs(tokens: str) -> list[list[str]]:
    return [token.rsplit("/", 1) for token in tokens.split()]


def _agreement(rows) -> tuple[int, list]:
    """How many tokens there are, and which are wrong, of rows of given and expected tokens."""
    total, wrong = 0, []
    for found, expected in rows:
        assert len(found) == len(expected)
        total += len(expected)
        wrong += [(f, e) for f, e in zip(found, expected, strict=True) if f != e]
    return total, wrong


@pytest.mark.parametrize("line", OFFICIAL.strip().splitlines())
def test_tokens_of_humanml3d(line):
    text, tokens = line.split("#")
    assert tag(text) == tokens


def test_tags_of_sentences_tagged_by_hand():
    rows = []
    for line in SENTENCES.strip().splitlines():
        words = _pairs(line)
        found = _pairs(tag(" ".join(word for word, _ in words)))
        rows.append(([name for _, name in found], [name for _, name in words]))
    total, wrong = _agreement(rows)
    assert len(wrong) < 0.03 * total, wrong


def test_verbs_of_the_grammar_are_verbs():
    frames = {"third": "a man {}", "base": "{}", "gerund": "the woman is {}", "past": "she {}"}
    contents = [*ACTIONS.values(), *WITH_BOTH_HANDS.values()]
    total, wrong = 0, []
    for words in [w for content in contents for w in (content.train, content.held_out)]:
        for phrase in [p for phrases in words.phrases.values() for p in phrases]:
            phrase = phrase.format(s="left", p="her")
            verbs = re.findall(r"(?:^|~)(\w+)", phrase)
            for form, frame in frames.items():
                text = tag(frame.format(VERB_FORMS[form](phrase)))
                missed = [verb for verb in verbs if f"{verb}/VERB" not in text.split()]
                total += len(verbs)
                wrong += [(verb, text) for verb in missed]
    assert len(wrong) < 0.03 * total, wrong


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A Man walks.", "a/DET man/NOUN walk/VERB"),
        ("he makes a u-turn", "he/PRON make/VERB a/DET uturn/NOUN"),
        ("she turns 90 degrees", "she/PRON turn/VERB degree/NOUN"),
        ("the person's hands", "the/DET person/NOUN hand/NOUN"),
        ("he doesn't move", "he/PRON does/AUX move/VERB"),
        ("they left by the left door", "they/PRON left/VERB by/ADP the/DET left/ADJ door/NOUN"),
        ("someone zumbas gleefuly", "someone/PRON zumba/VERB gleefuly/ADV"),
        ("...", ""),
        ("", ""),
    ],
)
def test_form_of_tokens(text, tokens):
    assert tag(text) == tokens
