"""How long work tells how far it is, to whoever shows it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Stands in where nobody watches: what is being done, how much of it, of how much or 0."""
