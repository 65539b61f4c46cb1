"""What can be wrong with a data set, and how it is told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    MISSING = "file missing"
    UNREADABLE = "file unreadable"
    CHANGED = "file changed"
    INDEX = "index at odds"
    NO_DATA = "id without data"
    NO_TEXT = "no caption"
    NO_SPLIT = "data in no split"
    SHAPE = "wrong shape"
    NOT_FINITE = "NaN or infinite"
    TOO_SHORT = "too short"
    TOO_LONG = "too long"
    LEAK = "in two splits"
    COPY = "same motion twice"
    CAPTION = "broken caption"
    SHARED = "captions in two splits"
    UNIT = "wrong unit"
    BONES = "another skeleton"
    AXES = "not Y up"
    PLACE = "frame 0 out of place"
    SIDES = "sides swapped"
    DISAGREE = "features disagree"
    STATISTICS = "wrong statistics"


ADVICE = {
    Kind.MISSING: "get it from where the data set comes from, or prepare the set again",
    Kind.UNREADABLE: "write it again as a plain .npy array or UTF-8 text",
    Kind.CHANGED: "copy or prepare the set again; dataset.json tells what it should be",
    Kind.INDEX: "prepare the set again; its tables are not made to be edited",
    Kind.NO_DATA: "build these clips, or take their ids out of the split files",
    Kind.NO_TEXT: "write captions, or take the clips out of the split files",
    Kind.NO_SPLIT: "add the ids to a split file, or let them be: nothing reads them",
    Kind.SHAPE: "make features with the codec of the skeleton that the other clips have",
    Kind.NOT_FINITE: "build the clips again, or take their ids out of the split files",
    Kind.TOO_SHORT: "let them be: loaders leave them out",
    Kind.TOO_LONG: "cut them: loaders drop or crop them",
    Kind.LEAK: "keep all clips of a take, mirrored ones too, in one split",
    Kind.COPY: "keep one of them, or both in one split",
    Kind.CAPTION: "repair the lines; HumanML3D's are caption#word/POS word/POS#start#end",
    Kind.SHARED: "say so where results are told: such captions are no test of understanding",
    Kind.UNIT: "scale all joints to the unit of the data set before features are made",
    Kind.BONES: "check the order of the joints, and put them on the uniform skeleton",
    Kind.AXES: "turn the joints so that Y is up before features are made",
    Kind.PLACE: "make the features with joints_to_features, which places each clip",
    Kind.SIDES: "exchange the left and right joints; X points to the left of who faces Z",
    Kind.DISAGREE: "make all blocks of the features anew from one set of joints",
    Kind.STATISTICS: "compute them from the training split of this very data",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: the file or clip, what, in words, and "error" or "warning"."""

    where: str
    what: Kind
    message: str
    severity: str = "error"


def warning(where: str, what: Kind, message: str) -> Finding:
    return Finding(where, what, message, "warning")


class Unusable(Exception):
    """Why a file cannot be used at all."""

    def __init__(self, what: Kind, message: str):
        super().__init__(message)
        self.what = what

    def at(self, where: str) -> Finding:
        return Finding(where, self.what, str(self))


def sort_findings(findings: list[Finding]) -> list[Finding]:
    """Errors first, then in the order of kinds."""
    order = list(Kind)
    return sorted(findings, key=lambda finding: (finding.severity, order.index(finding.what)))


def summarise(findings: Sequence[Finding], examples: int = 4) -> str:
    """A table in words: each kind with its count, the first places, and what to do."""
    if not findings:
        return "nothing wrong was found"
    groups = defaultdict(list)
    for finding in findings:
        groups[finding.severity, finding.what].append(finding)
    lines = []
    for (severity, kind), group in groups.items():
        lines.append(f"{severity:<8}{len(group):>6}  {kind.value}")
        lines += [f"{'':16}{told}" for told in _told(group, examples)]
        lines.append(f"{'':16}-> {ADVICE[kind]}")
    counts = Counter(finding.severity for finding in findings)
    total = (f"{counts[s]} {s}{'s' * (counts[s] != 1)}" for s in ("error", "warning"))
    return "\n".join([*lines, ", ".join(total)])


def _told(group: list[Finding], examples: int) -> list[str]:
    """The first findings of a kind, those with the same message in one line."""
    places = defaultdict(list)
    for finding in group:
        places[finding.message].append(finding.where)
    if len(places) > examples:  # numbers in the messages differ
        lines = [f"{finding.where}: {finding.message}" for finding in group[:examples]]
        return [*lines, f"and {len(group) - examples} more"]
    lines = []
    for message, names in places.items():
        more = f" and {len(names) - examples} more" if len(names) > examples else ""
        lines.append(f"{', '.join(names[:examples])}{more}: {message}")
    return lines
