"""Work that may fail, of contestants that are measured with others."""

import gc
from collections.abc import Callable

import torch


def attempt(action: Callable[[], object], result) -> object | None:
    """Whatever a contestant raises is the status of its result, so that the others still run.

    Gives what the action gives, or None where it raises.
    """
    try:
        return action()
    except torch.cuda.OutOfMemoryError:
        result.status = "out of memory"
    except Exception as error:
        # on a CPU it is an error like any other
        without = "can't allocate memory" in str(error) or isinstance(error, MemoryError)
        result.status = "out of memory" if without else f"failed: {first_line(error)}"
    finally:
        if result.status != "ok":
            free()


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
