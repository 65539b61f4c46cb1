"""Files read and written whole, and told apart."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

MOST_BYTES = 2**29


def read_whole(path: str | os.PathLike) -> bytes:
    """The content of a file of up to 512 MB.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is larger.
    """
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"{path} has more than {MOST_BYTES // 2**20} MB, expected one motion; cut it first."
        )
    return content


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file such that it appears only once it is complete, in the place of an older one.

    Raises OSError where it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(path: str | os.PathLike) -> str:
    """The SHA-256 of a file of any size."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
