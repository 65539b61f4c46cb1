"""The process behind the page: progress, its end, and who is next."""

import asyncio
import os
import sys
import time
from contextlib import aclosing

import pytest

from motionmamba.app import worker as module
from motionmamba.app.limits import Refused
from motionmamba.app.worker import Options, Worker


def serve(pipe, stop, options):
    """A worker without a model."""
    if options.model:
        pipe.send(("failed", "no such model"))
        sys.exit(module.NO_MODEL)
    pipe.send(("ready", {"max_seconds": 9.8}))
    while True:
        try:
            task, arguments = pipe.recv()
        except EOFError:
            return
        if task == "count":
            for step in range(arguments[0]):
                if stop.is_set():
                    break
                pipe.send(("denoising", (step + 1, arguments[0])))
                time.sleep(0.02)
        elif task == "die":
            os._exit(1)
        elif task == "hang":
            time.sleep(60)
        elif task == "refuse":
            pipe.send(("refused", "not this one"))
            continue
        pipe.send(("done", None))


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setattr(module, "_serve", serve)
    worker = Worker(Options())
    yield worker
    worker.close()


async def events(worker, task, *arguments, client="a"):
    async with aclosing(worker.run(client, task, *arguments)) as found:
        return [event async for event in found if event[0] != "loading"]


def test_progress_then_the_end(worker):
    async def run():
        assert await worker.load() == {"max_seconds": 9.8}
        return await events(worker, "count", 3)

    worker.start()
    assert asyncio.run(run()) == [("denoising", (n, 3)) for n in (1, 2, 3)]
    assert len(worker.line) == 0


def test_a_cancelled_task_frees_the_worker(worker):
    async def run():
        task = worker.run("a", "count", 10_000)
        async for kind, _ in task:
            if kind == "denoising":
                break
        began = time.monotonic()
        await task.aclose()
        assert (await events(worker, "count", 1))[-1] == ("denoising", (1, 1))
        return time.monotonic() - began

    assert asyncio.run(run()) < 2
    assert len(worker.line) == 0


def test_what_hangs_is_killed(worker, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(module, "LIMIT", 0.5)

    async def run():
        with pytest.raises(Refused, match="too long"):
            await events(worker, "hang")
        return await events(worker, "count", 1)

    assert asyncio.run(run())[-1] == ("denoising", (1, 1))


def test_a_dead_worker_is_started_again(worker):
    async def run():
        with pytest.raises(Refused, match="started again"):
            await events(worker, "die")
        with pytest.raises(Refused, match="not this one"):
            await events(worker, "refuse")
        return await events(worker, "count", 1)

    assert asyncio.run(run())[-1] == ("denoising", (1, 1))


def test_others_wait_for_their_turn_and_see_their_place(worker):
    async def run():
        return await asyncio.gather(
            *(events(worker, "count", 10, client=str(number)) for number in range(3))
        )

    first, second, third = asyncio.run(run())
    assert "waiting" not in dict(first)
    assert ("waiting", 1) in second and ("waiting", 2) in third and ("waiting", 1) in third
    assert all(each[-1] == ("denoising", (10, 10)) for each in (first, second, third))


def test_a_model_that_cannot_be_loaded_is_told_each_time(monkeypatch):
    monkeypatch.setattr(module, "_serve", serve)
    worker = Worker(Options(model="none"))

    async def run():
        for _ in range(2):
            with pytest.raises(Refused, match="no such model"):
                await events(worker, "count", 1)
        return await worker.load()

    assert asyncio.run(run()) == {}
    worker._process.join(5)
    assert worker.hopeless
    worker.close()
