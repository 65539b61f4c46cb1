"""The process that has the model, so that whatever befalls it the page stays up.

The page sends it one task at a time and gets events back, small ones: what is large lies in files.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionmamba.app.limits import Failed, Line, Refused
from motionmamba.memory import keep_freed_memory

PATIENCE = 3.0  # seconds that a task has to end once it is cancelled
LIMIT = 180.0  # seconds without any news after which a task is given up
_POLL = 0.03
_ENDING = (signal.SIGINT, signal.SIGTERM)
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")  # not on Windows

SORRY = "Something went wrong in the making of this motion; try again, or try another seed."
_DIED = "The worker stopped in the midst of this motion and is being started again; try again."
_SLOW = "This motion took too long and was given up; try a shorter one or fewer steps."
_NO_MODEL = "The model cannot be loaded; whoever runs this page is told why."
_ERRORS = {error.kind: error for error in (Refused, Failed)}


@dataclass(frozen=True)
class Options:
    """What the worker loads: see `motionmamba app --help`."""

    model: str | None = None
    device: str | None = None
    smpl_model: Path | None = None


class Cancelled(Exception):
    """The task is not wanted any more."""


@contextmanager
def uncollected():
    """No search for garbage among what is loaded meanwhile, now or later: slow, and in vain."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _sheltered():
    """Signals that end a program wait meanwhile, also for a process that is started, until it
    unblocks them.
    """
    if not _CAN_BLOCK:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker:
    """The page's side: the process, who waits for it, and what it says.

    `info` is what the model says of itself once it is loaded, `reason` why it cannot be.
    """

    def __init__(self, options: Options):
        self.line = Line()
        self.info: dict[str, Any] = {}
        self.reason = ""
        self._options = options
        self._context = multiprocessing.get_context("spawn")
        self._process = None

    def start(self) -> None:
        self._stop = self._context.Event()
        self._pipe, other = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(other, self._stop, self._options), daemon=True
        )
        with _sheltered():
            process.start()
            self._process = process
        other.close()
        self._ready = False

    def wait(self) -> None:
        """Returns when the model is loaded.

        Raises:
            ValueError: when it cannot be, with the reason for whoever runs the page.
        """
        try:
            self._hear()
        except EOFError:
            self._process.join()
            self.reason = _why_ended(self._process.exitcode)
        if self.reason:
            raise ValueError(self.reason)

    def close(self) -> None:
        self._end()
        self._stop = None  # and with it what the system would miss if the program ended at once

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _restart(self) -> None:
        self._end()
        self.start()

    async def run(self, client: str, task: str, *arguments) -> AsyncIterator[tuple[str, Any]]:
        """Events (kind, value) of a task: ("waiting", place), ("loading", None), then its own.

        Raises Refused, with a sentence for the client, for whatever goes wrong.
        """
        ticket = self.line.enter(client)
        sent = False
        try:
            while place := self.line.place(ticket):
                yield "waiting", place
                await asyncio.sleep(0.25)
            if not (self.reason or self._process.is_alive()):
                self._restart()
            async for _ in self._loaded():
                yield "loading", None
            self._stop.clear()
            sent = self._send((task, arguments))
            while True:
                kind, value = await self._receive()
                if kind == "done":
                    sent = False
                    return
                if kind in _ERRORS:
                    sent = False
                    raise _ERRORS[kind](value)
                yield kind, value
        except EOFError:
            sent = False
            self._restart()
            raise Failed(_DIED) from None
        except TimeoutError:
            sent = False
            self._restart()
            raise Failed(_SLOW) from None
        finally:
            if sent:
                self._stop.set()
                _background(self._settle(ticket))
            else:
                self.line.leave(ticket)

    async def _settle(self, ticket) -> None:
        """Waits until a cancelled task has ended, then it is the next one's turn."""
        try:
            await asyncio.wait_for(self._last_news(), PATIENCE)
        except (asyncio.TimeoutError, EOFError):
            self._restart()
        finally:
            self.line.leave(ticket)

    async def _last_news(self) -> None:
        while (await self._receive())[0] not in ("done", *_ERRORS):
            pass

    async def _loaded(self) -> AsyncIterator[None]:
        """Until the model is loaded by a process that had to be started again."""
        while not (self._ready or self.reason):
            yield
            if self._pipe.poll():
                self._hear()
            else:
                await asyncio.sleep(0.1)
        if self.reason:
            raise Failed(_NO_MODEL)

    def _hear(self) -> None:
        """Takes the first that a process says: what its model is, or why there is none."""
        kind, value = self._pipe.recv()
        if kind == Failed.kind:
            self.reason = value
        else:
            self.info, self._ready = value, True

    def _send(self, message) -> bool:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise EOFError from error
        return True

    async def _receive(self) -> tuple[str, Any]:
        until = time.monotonic() + LIMIT
        while not self._pipe.poll():
            if time.monotonic() > until:
                raise TimeoutError
            await asyncio.sleep(_POLL)
        try:
            return self._pipe.recv()
        except OSError as error:
            raise EOFError from error


_tasks: set[asyncio.Task] = set()


def _background(work) -> None:
    # the event loop itself keeps no hold of tasks
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _why_ended(status: int) -> str:
    """Why there is no model, of a process that could not say so itself."""
    how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
    return (
        f"the worker was ended ({how}) before it had loaded the model; if memory ran out, close "
        "other programs"
    )


def _serve(pipe, stop, options: Options) -> None:
    """The process: loads the model, then does tasks until the page is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the page is told, and ends this process too
    if _CAN_BLOCK:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    keep_freed_memory()
    logging.getLogger("diffusers").setLevel(logging.ERROR)

    def check() -> None:
        if stop.is_set():
            raise Cancelled

    try:
        studio = _studio(options, check)
    except Exception as error:  # files of others break in ways of their own
        if os.environ.get("MOTIONMAMBA_DEBUG"):
            raise
        pipe.send((Failed.kind, _reason(error)))
        return
    pipe.send(("ready", studio.info()))
    while True:
        while not pipe.poll() and studio.use_idle_time():
            pass
        try:
            task, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            getattr(studio, task)(lambda *event: pipe.send(event), *arguments)
            pipe.send(("done", None))
        except Cancelled:
            pipe.send(("done", None))
        except Refused as error:
            pipe.send((error.kind, str(error)))
        except ValueError as error:
            logging.warning("a task was refused: %s", error)
            pipe.send((Refused.kind, _sentence(error)))
        except Exception:
            logging.exception("a task failed")
            pipe.send((Failed.kind, SORRY))


def _studio(options: Options, check):
    with uncollected():
        from motionmamba.app.studio import Studio

        return Studio(options, check)


def _reason(error: Exception) -> str:
    if isinstance(error, (ValueError, OSError)) and str(error):
        return str(error)  # the library's own, a sentence
    return f"the model cannot be loaded: {type(error).__name__}: {error}"


def _sentence(error: ValueError) -> str:
    """The library's own errors are for users; those of others may tell where things lie."""
    message = " ".join(str(error).split())
    return message if "/" not in message and len(message) < 300 else SORRY
