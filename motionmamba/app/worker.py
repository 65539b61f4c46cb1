"""The process that has the model, so that whatever befalls it the page stays up.

The page sends it one task at a time and gets events back, small ones: what is large lies in files.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import signal
import sys
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
NO_MODEL = 2  # exit status of a process that cannot load its model
_POLL = 0.03

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
def quick_imports():
    """No collection of garbage meanwhile: of thousands of modules there is none, and it is slow."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Worker:
    """The page's side: the process, who waits for it, and what it says."""

    def __init__(self, options: Options):
        self.line = Line()
        self.info: dict[str, Any] | None = None
        self.problem = ""
        self._options = options
        self._context = multiprocessing.get_context("spawn")
        self._process = None

    def start(self) -> None:
        self._stop = self._context.Event()
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(other, self._stop, self._options), daemon=True
        )
        self._process.start()
        other.close()
        self._ready = False

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def hopeless(self) -> bool:
        """Whether the model cannot be loaded."""
        return self._process is not None and self._process.exitcode == NO_MODEL

    def _restart(self) -> None:
        self.close()
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
            if not (self.problem or (self._process and self._process.is_alive())):
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

    async def load(self) -> dict[str, Any]:
        """What the worker says of its model once it is there; nothing if it will not be."""
        try:
            while self.info is None and not self.problem:
                if self._process and self._pipe.poll() and len(self.line) == 0:
                    async for _ in self._loaded():
                        pass
                await asyncio.sleep(0.1)
        except (EOFError, Refused):  # told to who asks for a motion
            pass
        return self.info or {}

    async def _loaded(self) -> AsyncIterator[None]:
        if self.problem:
            raise Failed(self.problem)
        while not self._ready:
            yield
            if not self._pipe.poll():
                await asyncio.sleep(0.1)
                continue
            kind, value = self._pipe.recv()
            if kind == Failed.kind:
                self.problem = value
                raise Failed(value)
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


def _serve(pipe, stop, options: Options) -> None:
    """The process: loads the model, then does tasks until the page is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    with quick_imports():
        from motionmamba.app.studio import Studio

    def check() -> None:
        if stop.is_set():
            raise Cancelled

    try:
        studio = Studio(options, check)
    except (ValueError, OSError) as error:
        pipe.send((Failed.kind, _NO_MODEL))
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NO_MODEL)
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


def _sentence(error: ValueError) -> str:
    """The library's own errors are for users; those of others may tell where things lie."""
    message = " ".join(str(error).split())
    return message if "/" not in message and len(message) < 300 else SORRY
