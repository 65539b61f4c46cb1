"""Captions as HumanML3D's tokens: words with their parts of speech.

The original texts were tagged with spaCy 2's `en_core_web_sm`. Its conventions are followed
(possessives are DET, particles ADP, modal verbs VERB), but its choices, slips among them, cannot
be repeated by another tagger: where a data set comes with tokens, keep those. Here a dictionary
of possible tags and lemmas (lemminflect, from the NIH's SPECIALIST lexicon) is narrowed down by
the words around, with rules for the kind of English that tells motions.
"""

from __future__ import annotations

import re
from functools import cache

from lemminflect import getAllLemmas


def tag(text: str) -> str:
    """Tokens of a caption, `a/DET person/NOUN walk/VERB forward/ADV`.

    As in HumanML3D, words are in lower case, nouns and verbs are lemmas except for "left",
    hyphens join what they stand between, and what has not only letters is dropped.
    """
    words = _WORDS.findall(_CLITICS.sub(" ", text.lower().replace("-", "")))
    clause = _Clause()
    tokens = []
    for place, word in enumerate(words):
        if word.isalpha():
            name = clause.add(word, *(words[place + 1 : place + 3] + ["", ""])[:2])
            tokens.append(f"{_lemma(word, name)}/{name}")
        else:
            clause = _Clause(word)
    return " ".join(tokens)


_WORDS = re.compile(r"n['’]t\b|\w+?(?=n['’]t\b)|\w+|[^\w\s]")
_CLITICS = re.compile(r"['’](s|re|ll|ve|d|m)\b|(?<=s)['’](?=\s|$)")


def _table(**tags: str) -> dict[str, str]:
    return {word: name for name, words in tags.items() for word in words.split()}


_CLOSED = _table(  # words that are one thing, or nearly always
    DET="a an the his their its your my our every all some any no another either neither these "
    "those this which whose both each",
    PRON="i you he she it we they him them me us himself herself itself themselves yourself "
    "someone somebody something anyone anybody anything everyone everybody everything nobody "
    "nothing who whom what",
    AUX="is are was were be been being am",
    VERB="can could will would shall should may might must",
    ADP="of in on at with by from into onto for over under above below behind beside between "
    "through across along toward towards upon without within against during before after until "
    "off out up down via beyond per inside near",
    SCONJ="while whilst if because since though although unless whereas than whether till like as",
    CCONJ="and or but nor",
    NUM="two three four five six seven eight nine ten eleven twelve twenty thirty forty ninety "
    "hundred thousand",
    INTJ="hello hi bye goodbye please yes okay farewell",
    ADV="then again twice once thrice together very not too also so just only quite almost away "
    "apart aside where when how why now here forth fro meanwhile always never often somewhere "
    "maybe perhaps whereupon ever even halfway around about there outside",
    ADJ="other same several many few such elderly wornout able handed little full tired exhausted "
    "depressed relaxed drained delighted excited scared worried upper",
    NOUN="person man woman guy boy girl lady kid child human people figure hand hands arm arms "
    "palm palms elbow elbows shoulder shoulders foot feet leg legs knee knees hip hips chest "
    "body limb limbs finger fingers toe toes eye eyes uturn music friend time thanks grandpa "
    "grandma teenager thug gangster punk monster",
)
_EITHER = frozenset(  # adverbs that are adjectives before a noun
    "forward forwards backward backwards upward downward sideways sideway straight overhead "
    "rearward onward far first next last later fast slow high low deep wide hard still flat round "
    "close upright ahead early late clockwise counterclockwise".split()
)
_BARE = frozenset("make makes made let lets watch watched have has had help helps".split())
_SUBJECTS = frozenset("i you he she we they who".split())
_COPULAS = frozenset("be look seem feel appear become remain stay".split())


@cache
def _options(word: str) -> dict[str, tuple[str, ...]]:
    """Tags that a word may have, and its lemmas."""
    if word in _CLOSED:
        return {_CLOSED[word]: getAllLemmas(word).get(_CLOSED[word], (word,))}
    if word in _EITHER:
        return {"ADJ": (word,), "ADV": (word,)}
    if known := {k: v for k, v in getAllLemmas(word).items() if k not in ("PROPN", "AUX")}:
        return known
    for ending, name, cut in (("ly", "ADV", 0), ("ing", "VERB", 3), ("ed", "VERB", 2)):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return {name: (word[: len(word) - cut],)}
    if word.endswith("s") and len(word) > 3:
        stem = word[: -2 if word.endswith(("shes", "ches", "xes", "sses")) else -1]
        return {"NOUN": (stem,), "VERB": (stem,)}
    return {"NOUN": (word,)}


@cache
def _lemma(word: str, name: str) -> str:
    if name not in ("NOUN", "VERB") or word == "left":
        return word
    return _options(word).get(name, (word,))[0]


@cache
def _verb_form(word: str) -> str:
    """`base`, `third`, `gerund` or `past` of what may be a verb, or nothing."""
    if "VERB" not in _options(word):
        return ""
    if _lemma(word, "VERB") == word:
        return "base"
    return "gerund" if word.endswith("ing") else "third" if word.endswith("s") else "past"


@cache
def _is_nominal(word: str) -> bool:
    """Whether a word may be part of a noun phrase that has begun."""
    if not word.isalpha() or word in _EITHER or word == "back":
        return False
    return bool({"NOUN", "ADJ"} & _options(word).keys())


class _Clause:
    """What stands before a word, since the last punctuation mark."""

    def __init__(self, mark: str = ""):
        self.name = self.word = mark  # the last word that is no adverb, and its tag
        self.group = False  # a noun phrase is open: its noun is still to come
        self.plural = False  # the last noun is more than one
        self.verb = ""  # the last verb since a subject
        self.bare = False  # a verb may come in its base form: "let him wave"
        self.what = False  # "what she does is walk"

    def add(self, word: str, following: str, second: str) -> str:
        """The tag of a word before two others, which now stands before the next one."""
        name = self._special(word, following, second) or self._choose(word, following)
        inside = self.group and name == "VERB" and self._continues(following)  # a waving hand
        if name in ("SCONJ", "PRON") or word in ("that", "which", "how", "when", "where"):
            self.verb = ""
        if name in ("VERB", "AUX") and not inside:
            self.verb, self.bare = word, word in _BARE
        if name == "NOUN":
            self.plural = _lemma(word, name) != word
        self.what |= word == "what"
        if name != "ADV":
            relative = word in ("that", "which") and self.name in ("NOUN", "PRON")
            self.group = inside or (name in ("DET", "ADJ", "NUM") and not relative)
            self.name, self.word = name, word
        return name

    def _choose(self, word: str, following: str) -> str:
        options, continues = _options(word), self._continues(following)
        if word in _EITHER:
            if self.name in ("DET", "NUM") and not continues:
                return "NOUN"
            steps = self.name == "VERB" and following.endswith("s")  # "take slow steps"
            before_noun = continues and (self.group or steps or self.name in ("ADP", "CCONJ", ""))
            return "ADJ" if before_noun or self._after_copula() else "ADV"
        if len(options) == 1 and "VERB" not in options:
            return next(iter(options))
        gerund = _verb_form(word) == "gerund"
        if self.group and (gerund or options.keys() == {"VERB"} and _verb_form(word) == "base"):
            return "VERB" if continues else "NOUN"
        if not self.group and self._is_verb(word, following):
            return "VERB"
        if continues:
            past = _verb_form(word) == "past"
            order = ("ADJ", "VERB", "NOUN", "ADV") if past else ("ADJ", "NOUN", "ADV", "VERB")
        elif self._after_copula() or self.name in ("SCONJ", "PRON"):
            order = ("ADJ", "VERB", "ADV", "NOUN")
        else:
            order = ("NOUN", "ADJ", "ADV", "VERB")
        return next(name for name in order if name in options)

    def _is_verb(self, word: str, following: str) -> bool:
        """Whether a word outside of noun phrases is a verb where it may be one."""
        form = _verb_form(word)
        if form == "past":
            told = self._after_copula() or self.name == "SCONJ"
            return not (told and "ADJ" in _options(word))
        if form == "third":
            if self.name == "ADP" or following in ("of", "that"):
                return self.word == "up" and not self.verb
            return self.name != "VERB" and (not self.verb or self.name != "NOUN")
        if form != "base":
            noun = self.word in ("in", "of") and "NOUN" in _options(word)  # "in greeting"
            return form == "gerund" and not noun
        if self.word in ("that", "which"):
            return True
        if self.name == "CCONJ":
            return _verb_form(self.verb) == "base"
        if self.name == "NOUN":
            return (self.bare and self.word in _CLOSED) or (self.plural and not self.verb)
        if self.name == "PRON":
            return self.bare or self.word in _SUBJECTS
        if self.name == "AUX":
            return self.what
        if self.name == "VERB":
            return _CLOSED.get(self.word) == "VERB"
        return not self.name.isalpha() or self.name in ("PART", "INTJ")

    def _after_copula(self) -> bool:
        return self.name == "AUX" or (self.name == "VERB" and _lemma(self.word, "VERB") in _COPULAS)

    def _continues(self, following: str) -> bool:
        """Whether a noun phrase goes on with the next word."""
        if not _is_nominal(following):
            return False
        form = _verb_form(following)
        if form == "gerund":
            return self.group
        return bool(self.verb) or form in ("", "base") or self.name == "ADP"

    def _special(self, word: str, following: str, second: str) -> str:
        """The tag of a word that has a rule of its own, or nothing."""
        continues = self._continues(following)
        match word:
            case "left" | "right":
                if continues and _verb_form(following) != "gerund":
                    return "ADJ"
                if self.group or self.name == "ADP":
                    return "NOUN"
                leaves = self.word in _SUBJECTS or (
                    self.name == "NOUN" and not self.verb and _CLOSED.get(following) == "DET"
                )
                return "VERB" if word == "left" and leaves else "ADV"
            case "back":
                if self.group:
                    return "ADJ" if continues else "NOUN"
                return "VERB" if following in ("away", "up", "off") and not self.verb else "ADV"
            case "head" | "heads":
                leads = following in _EITHER or following in ("back", "off", "for", "toward")
                return "VERB" if leads and not self.group and not self.verb else "NOUN"
            case "to":
                if following in ("be", "have", "do"):
                    return "PART"
                if following in (self.word, "head") or "VERB" not in _options(following):
                    return "PART" if _options(following).keys() == {"ADV"} else "ADP"
                return "PART" if _verb_form(following) == "base" else "ADP"
            case "her":
                return "DET" if continues or following in ("left", "right") else "PRON"
            case "that":
                return "SCONJ" if self.name in ("VERB", "AUX") else "DET"
            case "one" | "ones":
                if self.name in ("DET", "ADJ") or word == "ones":
                    return "NOUN"
                return "PRON" if _CLOSED.get(following) == "VERB" else "NUM"
            case "there":
                return "PRON" if _CLOSED.get(following) == "AUX" else "ADV"
            case "have" | "has" | "had":
                return "AUX" if following == "been" or _verb_form(following) == "past" else "VERB"
            case "do" | "does" | "did":
                bare = _options(following).keys() == {"VERB"} and _verb_form(following) == "base"
                return "AUX" if bare or following in ("not", "n't") else "VERB"
            case "around" | "about" | "outside":
                opens = _CLOSED.get(following) in ("DET", "NUM", "PRON")
                return "ADP" if continues or opens else "ADV"
            case "like":
                asked = self.name == "PRON" and self.word != "someone" or self.name == "PART"
                return "VERB" if asked else "SCONJ"
            case "as":
                return "ADV" if second == "as" else "SCONJ"
            case "half":
                if self.group:
                    return "ADJ" if continues else "NOUN"
                return "NOUN" if following == "of" else "DET"
            case "both":
                return "CCONJ" if following.endswith("ing") else "DET"
            case "might" if self.group:
                return "NOUN"
            case "while":
                return "NOUN" if self.group else "SCONJ"
        return ""
