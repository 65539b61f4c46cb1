"""Checkpoints of a run: each is whole, or known not to be."""

import json
import os
import shutil
import warnings
from pathlib import Path

from accelerate import Accelerator

from motionmamba.motion.files import sha256_of

KEPT = 2
CONTENTS = "contents.json"  # the SHA-256 of every other file


class Checkpoints:
    """`checkpoints/step-N` of a run, the newest ones."""

    def __init__(self, accelerator: Accelerator, run: Path):
        self._accelerator, self._folder = accelerator, run / "checkpoints"

    def save(self, step: int):
        """Writes beside the checkpoint's name first: nobody sees half of one."""
        accelerator = self._accelerator
        final = self._folder / f"step-{step:08d}"
        partial = final.with_name(f".{final.name}.partial")
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(partial))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (partial / CONTENTS).write_text(json.dumps(_checksums(partial)))
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
            for old in _steps(self._folder)[:-KEPT]:
                shutil.rmtree(old)

    def restore(self) -> int:
        """Loads the newest checkpoint that is whole; gives its step.

        Raises:
            ValueError: when there is none.
        """
        for path in reversed(_steps(self._folder)):
            if _is_whole(path):
                self._accelerator.load_state(str(path))
                return int(path.name.split("-")[1])
            warnings.warn(f"{path} is damaged; the checkpoint before it is used", stacklevel=2)
        raise ValueError(f"there is no whole checkpoint in {self._folder} to resume from")

    def __len__(self) -> int:
        return len(_steps(self._folder))


def has_checkpoint(run: Path) -> bool:
    """Whether `fit` can resume in this run."""
    return bool(_steps(run / "checkpoints"))


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != CONTENTS)
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}


def _is_whole(folder: Path) -> bool:
    try:
        return json.loads((folder / CONTENTS).read_text()) == _checksums(folder)
    except (OSError, ValueError):
        return False
