"""Memory that a process has freed, kept for its next tensors."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST, KEPT = 1 << 28, 1 << 30  # bytes of a tensor, and of all that is kept at the heap's end


def keep_freed_memory() -> bool:
    """Has glibc's malloc reuse what it gave to tensors before; gives whether it took the advice.

    By default every tensor of 32 MB or more is fresh pages from the kernel, zeroed and mapped at
    first touch, and given back at once: on a processor that takes longer than adding two of them.
    For a program's beginning, as it is the process's setting; nothing happens elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    settings = ((_M_MMAP_THRESHOLD, LARGEST), (_M_TRIM_THRESHOLD, KEPT))
    return mallopt is not None and all(mallopt(*setting) for setting in settings)
