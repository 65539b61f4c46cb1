"""Small pieces of HTML and Markdown, in which no text of a visitor is markup."""

from __future__ import annotations

import html


def framed(page: str) -> str:
    """A page inside the page."""
    return (
        '<iframe class="stage" title="3-D player of the motion" allow="fullscreen" '
        f'srcdoc="{html.escape(page)}"></iframe>'
    )


def status(text: str, share: float | None = None, role: str = "status") -> str:
    """What the page says of its work, with a bar where it is known how much of it is done."""
    bar = (
        ""
        if share is None
        else f'<progress max="1" value="{share:.3f}" aria-label="how much is done"></progress>'
    )
    return f'<div class="{role}" role="{role}">{bar}<span>{html.escape(text)}</span></div>'


def problem(error: Exception | str) -> str:
    return status(str(error), role="alert")


def progress(kind: str, value) -> str:
    """What an event of the worker says; see `Worker.run`."""
    if kind == "waiting":
        return status(f"In the queue: {value} before you.")
    if kind == "loading":
        return status("The model is being loaded …", 0.02)
    done, total = value
    if kind == "denoising":
        return status(f"Denoising: step {done} of {total}", done / total)
    return status(f"Rendering the video: frame {done} of {total}", done / total)


def plain(text: str) -> str:
    """Text in Markdown that shows as it is written."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|$~&" else c for c in text)
