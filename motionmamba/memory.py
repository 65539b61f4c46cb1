"""Memory that a process has freed, kept for its next tensors."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's mallopt
KEPT = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Has glibc's malloc keep up to a GiB that was freed; gives whether it took the advice.

    By default every tensor of 32 MB or more is fresh pages from the kernel, zeroed and mapped at
    first touch, and given back at once: on a processor that takes longer than adding two of them.
    For a program's beginning, as it is the process's setting; nothing happens elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(
        mallopt(option, value) for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, KEPT))
    )
