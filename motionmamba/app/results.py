"""The folder of results: a folder each, with a name that nobody guesses, and not for ever."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from dataclasses import asdict
from pathlib import Path

from motionmamba.app.limits import Gone, Look, Settings

KEPT_SECONDS = 2 * 60 * 60
MOST_BYTES = 2**30
PLAYER, VIDEO, JOINTS, SETTINGS = "player.html", "motion.mp4", "joints.npz", "settings.json"
SUFFIXES = (".mp4", ".glb", ".bvh", ".npz")  # of the files that a visitor gets
_NAME = re.compile(r"[0-9a-f]{32}")


class Results:
    """Results below a folder of this program's own."""

    def __init__(self, root: Path):
        self.root = root

    def new(self, settings: Settings) -> Path:
        """The folder of a new result, with its settings; makes room for it first."""
        self.prune()
        folder = self.root / secrets.token_hex(16)
        folder.mkdir()
        (folder / SETTINGS).write_text(json.dumps(asdict(settings)), encoding="utf-8")
        return folder

    def find(self, name: str) -> Path:
        """The folder of that result. Raises Gone for what is none, or none any more."""
        folder = self.root / name if _NAME.fullmatch(str(name)) else None
        if folder is None or not folder.is_dir():
            raise Gone("That motion is not kept any more; generate it again.")
        return folder

    def settings(self, name: str) -> Settings:
        """The settings of that result. Raises Gone as `find` does."""
        written = json.loads((self.find(name) / SETTINGS).read_text(encoding="utf-8"))
        written["prompts"], written["seconds"] = (
            tuple(written["prompts"]),
            tuple(written["seconds"]),
        )
        return Settings(**{**written, "look": Look(**written["look"])})

    def finished(self, name: str) -> bool:
        """Whether there is such a result, and something to see of it."""
        return bool(_NAME.fullmatch(str(name))) and (self.root / name / PLAYER).is_file()

    def prune(self) -> None:
        """Removes results that are old, then the oldest until the rest is small enough."""
        aged = sorted(
            (folder.stat().st_mtime, folder)
            for folder in self.root.iterdir()
            if _NAME.fullmatch(folder.name)
        )
        sizes = {folder: _size(folder) for _, folder in aged}
        total = sum(sizes.values())
        for modified, folder in aged:
            if modified > time.time() - KEPT_SECONDS and total <= MOST_BYTES:
                break
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]


def download(folder: Path, suffix: str) -> Path | None:
    """The file of a result with that suffix: one motion, or all of them in an archive."""
    found = sorted(folder.glob(f"motion*{suffix}.zip")) or sorted(folder.glob(f"motion*{suffix}"))
    return found[0] if found else None


def downloads(folder: Path) -> dict[str, Path]:
    """The files of a result that are there, by suffix."""
    found = {suffix: download(folder, suffix) for suffix in SUFFIXES}
    return {suffix: path for suffix, path in found.items() if path}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
