"""Motions as one HTML page that plays them in 3-D and fetches nothing.

The page carries the viewer built from app/viewer, and each motion as a binary glTF 2.0 file.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from motionmamba.motion.files import read_whole, write_whole

if TYPE_CHECKING:
    from motionmamba.motion.body import Body

MOST_MOTIONS = 9
MOST_BYTES = 128 * 2**20
_HEADER_BYTES = 12

# Scripts and styles by their hash alone, so that nothing written into a title can ever run.
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; "
    "img-src data: blob:; connect-src data: blob:; base-uri 'none'; form-action 'none'"
)


def viewer_html(glbs: Sequence[bytes], titles: Sequence[str]) -> str:
    """A page that plays the motions side by side, in step.

    Args:
        glbs: the .glb files' bytes; the first animation of each is played.
        titles: the caption of each, shown as plain text.

    Raises:
        ValueError: unless there are 1 to 9 motions, a title for each, and each is binary glTF.
    """
    if not 1 <= len(glbs) <= MOST_MOTIONS or len(glbs) != len(titles):
        raise ValueError(
            f"a page was asked for with {len(glbs)} motions and {len(titles)} titles, expected "
            f"1 to {MOST_MOTIONS} motions with a title each; split them over several pages."
        )
    titles = [_one_line(title) or "motion" for title in titles]
    motions = [
        {"title": title, "glb": base64.b64encode(gzip.compress(glb, mtime=0)).decode()}
        for title, glb in zip(titles, map(check_glb, glbs), strict=True)
    ]
    parts = {
        "title": html.escape(" · ".join(titles)),
        "style": _asset("page.css"),
        "script": _asset("viewer.js"),
        # An HTML parser ends the script element at a tag, wherever JSON may have put it.
        "motions": json.dumps(motions).replace("<", "\\u003c"),
    }
    parts["policy"] = _POLICY.format(script=_hash(parts["script"]), style=_hash(parts["style"]))
    return re.sub(r"\{\{(\w+)\}\}", lambda name: parts[name[1]], _asset("page.html"))


def write_html(path: str | os.PathLike, glbs: Sequence[bytes], titles: Sequence[str]) -> None:
    """Writes `viewer_html` to a file, all of it or nothing.

    Raises:
        ValueError: for what `viewer_html` does not take or a file that cannot be written.
    """
    path = check_page(path)
    write_whole(path, viewer_html(glbs, titles).encode())


def check_page(path: str | os.PathLike) -> Path:
    """Gives `path` when a page can be written there.

    Raises:
        ValueError: for another suffix than .html, a folder that is missing or not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path} has the suffix '{path.suffix}', expected .html; rename the file.")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path} cannot be written; choose a file in a folder you may write to.")
    return path


def check_glb(data: bytes, name: str = "a motion") -> bytes:
    """Gives `data` when it is a whole binary glTF 2.0 file.

    Raises:
        ValueError: when its header says otherwise or it is larger than 128 MB.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"{name} has {len(data) / 2**20:.0f} MB, expected at most {MOST_BYTES // 2**20} MB for "
            "a page; export a shorter motion or one without large textures."
        )
    if data[:4] != b"glTF" or int.from_bytes(data[4:8], "little") != 2:
        raise ValueError(
            f"{name} is not binary glTF 2.0; pass a file that `motionmamba convert` wrote."
        )
    length = int.from_bytes(data[8:_HEADER_BYTES], "little")
    if length != len(data):
        raise ValueError(
            f"{name} has {len(data)} bytes where its header says {length}; export or download the "
            "file again."
        )
    return data


def load_glb(
    path: str | os.PathLike, *, fps: float | None = None, prompt: str = "", body: Body | None = None
) -> tuple[bytes, str]:
    """A motion file as the bytes of a .glb file, and its caption.

    A .glb file of any maker is taken as it is; joints of another kind of file get a body.

    Args:
        fps: frames per second, in place of what the file says; not for a .glb file.
        prompt: the caption; what the file says, or else its name, by default.
        body: what moves; the one shipped here by default.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds no motion.
    """
    path = Path(path)
    if path.suffix.lower() == ".glb":
        data = check_glb(read_whole(path), str(path))
        return data, prompt or _prompt(data) or path.stem
    from motionmamba.motion.export.gltf import glb_bytes
    from motionmamba.motion.formats import load_motion, on_body

    motion = on_body(load_motion(path, fps, prompt, body), body)
    return glb_bytes(motion), motion.prompt or path.stem


def _prompt(data: bytes) -> str:
    # What a damaged file lacks the page will say.
    try:
        size = int.from_bytes(data[_HEADER_BYTES : _HEADER_BYTES + 4], "little")
        content = json.loads(data[_HEADER_BYTES + 8 : _HEADER_BYTES + 8 + size])
        return str(content["asset"]["extras"]["prompt"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _asset(name: str) -> str:
    return (files("motionmamba") / "assets" / "viewer" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _one_line(text: str) -> str:
    # Half of a surrogate pair is no text, and no file can hold it.
    return " ".join(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").split())
