"""Renderers behind one interface, and which of them this machine can run."""

from __future__ import annotations

import subprocess
import sys
import warnings
from contextlib import suppress
from functools import lru_cache
from importlib import import_module

from .base import Renderer, Stage

__all__ = ["RENDERERS", "Renderer", "Stage", "describe_renderers", "open_renderer", "why_not"]

BODIES = ("smpl", "skeleton")
RENDERERS = ("moderngl", "pyrender", "software")
_SECONDS = 60.0
# Ways to open a renderer, the best first: module, class, its arguments, and what may mend it.
_WAYS = {
    "moderngl": [("moderngl_backend", "ModernGLRenderer", (), "`apt install libegl1 libgl1`")],
    "pyrender": [
        ("pyrender_backend", "PyrenderRenderer", ("egl",), "`apt install libegl1 libgl1`"),
        (
            *("pyrender_backend", "PyrenderRenderer", ("osmesa",)),
            "`apt install libosmesa6` with `pip install 'PyOpenGL>=3.1.4'`",
        ),
    ],
    "software": [("software", "SoftwareRenderer", (), "")],
}


def open_renderer(name: str = "auto", body: str = "smpl") -> Renderer:
    """The renderer of that name; with "auto" the first of `RENDERERS` that works here.

    A body of "skeleton" is the mannequin that the software renderer draws. Raises ValueError for
    another name, or where the renderer cannot run, with what mends it.
    """
    if body not in BODIES:
        raise ValueError(f"{body!r} is no body to draw; expected {' or '.join(BODIES)}.")
    if name not in ("auto", *RENDERERS):
        expected = ", ".join(["auto", *RENDERERS[:-1]])
        raise ValueError(f"{name!r} is no renderer; expected {expected} or {RENDERERS[-1]}.")
    if body == "skeleton":
        if name not in ("auto", "software"):
            raise ValueError(
                f"The renderer {name} draws no skeletons; ask for software, or for a body of smpl."
            )
        name = "software"
    elif name == "auto":
        name = next(each for each in RENDERERS if why_not(each) is None)
        if name == "software":
            warnings.warn(
                f"A mannequin is drawn, as no renderer of bodies can run here: moderngl says "
                f"{why_not('moderngl')}.",
                stacklevel=3,
            )
    reason = why_not(name)
    if reason is not None:
        raise ValueError(f"The renderer {name} cannot run here: {reason}.")
    works = (index for index in range(len(_WAYS[name])) if _try(name, index)[0])
    return _open(name, next(works))


def why_not(name: str) -> str | None:
    """Why a renderer does not work on this machine and what mends it; None where it does."""
    reasons = []
    for index in range(len(_WAYS[name])):
        works, message = _try(name, index)
        if works:
            return None
        reasons.append(message)
    return " or ".join(dict.fromkeys(reasons))


def describe_renderers() -> list[str]:
    """A line for each renderer: what it draws on, or why it cannot; "auto" takes the first."""
    lines = []
    for name in RENDERERS:
        trials = (_try(name, index) for index in range(len(_WAYS[name])))
        device = next((message for works, message in trials if works), None)
        lines.append(f"{name}: {device or 'cannot run here: ' + str(why_not(name))}")
    return lines


def _open(name: str, index: int) -> Renderer:
    module, kind, arguments, _ = _WAYS[name][index]
    if name != "software":
        # llvmpipe and Triton each bring an LLVM, and crash where llvmpipe's is loaded first
        with suppress(ImportError):
            import_module("triton")
    return getattr(import_module(f".{module}", __name__), kind)(*arguments)


@lru_cache
def _try(name: str, index: int) -> tuple[bool, str]:
    """Whether a way to open a renderer works, and its device or what is wrong.

    Drivers may crash or hang, so that it is tried in a process of its own.
    """
    if name == "software":
        return True, _open(name, index).device
    opened = f"from {__name__} import _open; print(_open({name!r}, {index}).device, flush=True)"
    command = [sys.executable, "-c", f"import os; {opened}; os._exit(0)"]
    mending = _WAYS[name][index][-1]
    try:
        trial = subprocess.run(command, capture_output=True, timeout=_SECONDS, text=True)
    except subprocess.TimeoutExpired:
        return False, f"OpenGL did not answer within {_SECONDS:.0f} seconds; try {mending}"
    if trial.returncode == 0:
        return True, trial.stdout.strip().splitlines()[-1]
    error = (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1]
    if error.startswith("ModuleNotFoundError"):
        mending = f"`pip install {name}`"
    return False, f"{error.rstrip('.')}; try {mending}"
