"""HumanML3D's text files: lines of `caption#word/POS word/POS#start#end`."""

import math
from dataclasses import dataclass

from motionmamba.data.packed import Caption


@dataclass(frozen=True)
class TextLine:
    """A caption and the seconds that it is about; both 0 for the whole clip."""

    caption: Caption
    start: float
    end: float

    @property
    def is_whole(self) -> bool:
        return self.start == self.end == 0


def parse_line(line: str) -> TextLine:
    """Parses a line; times that are nan count as 0. Raises ValueError when it is anything else."""
    text, tokens, *times = line.strip().split("#")
    start, end = (0.0 if math.isnan(t) else t for t in map(float, times))
    if not text or not (0 <= start < math.inf and 0 <= end < math.inf):
        raise ValueError(f"{line!r} has no caption or no times")
    return TextLine(Caption(text, tokens), start, end)


def parse_lines(name: str, content: bytes) -> tuple[dict[int, TextLine], dict[str, str]]:
    """The usable lines of a file by their numbers from 1, and what is wrong with the others."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return {}, {name: "not UTF-8"}
    parsed, flaws = {}, {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                parsed[number] = parse_line(line)
            except ValueError:
                flaws[f"{name}:{number}"] = "not caption#tokens#start#end"
    if not parsed and not flaws:
        flaws[name] = "no caption"
    return parsed, flaws
