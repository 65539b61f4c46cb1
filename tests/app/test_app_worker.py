"""The process behind the page: progress, its end, and who is next."""

import asyncio
import os
import signal
import time
from contextlib import aclosing, closing

import pytest

from motionmamba.app import worker as module
from motionmamba.app.limits import Refused
from motionmamba.app.worker import Options, Worker


def serve(pipe, stop, options):
    """A worker without a model."""
    if options.model == "none":
        pipe.send(("failed", "no such model"))
        return
    if options.model == "fatal":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)
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
    with closing(Worker(Options())) as worker:
        worker.start()
        worker.wait()
        yield worker


async def events(worker, task, *arguments, client="a"):
    async with aclosing(worker.run(client, task, *arguments)) as found:
        return [event async for event in found]


def test_progress_at_once_then_the_end(worker):
    assert worker.info == {"max_seconds": 9.8}
    counted = asyncio.run(events(worker, "count", 3))
    assert counted == [("denoising", (n, 3)) for n in (1, 2, 3)]
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
        os.kill(worker.pid, signal.SIGKILL)
        worker._process.join(5)
        return await events(worker, "count", 1)

    found = asyncio.run(run())
    assert found[0] == ("loading", None) and found[-1] == ("denoising", (1, 1))


def test_others_wait_for_their_turn_and_see_their_place(worker):
    async def run():
        return await asyncio.gather(
            *(events(worker, "count", 10, client=str(number)) for number in range(3))
        )

    first, second, third = asyncio.run(run())
    assert "waiting" not in dict(first)
    assert ("waiting", 1) in second and ("waiting", 2) in third and ("waiting", 1) in third
    assert all(each[-1] == ("denoising", (10, 10)) for each in (first, second, third))


@pytest.mark.parametrize(("model", "said"), [("none", "no such model"), ("fatal", "SIGKILL")])
def test_who_waits_for_a_model_is_told_why_there_is_none(monkeypatch, model, said):
    monkeypatch.setattr(module, "_serve", serve)
    with closing(Worker(Options(model=model))) as worker:
        worker.start()
        with pytest.raises(ValueError, match=said):
            worker.wait()


def test_a_model_that_cannot_be_loaded_again_is_told_each_time(worker):
    async def run():
        worker._options = Options(model="none")
        os.kill(worker.pid, signal.SIGKILL)
        worker._process.join(5)
        for _ in range(2):
            with pytest.raises(Refused, match="cannot be loaded"):
                await events(worker, "count", 1)

    asyncio.run(run())
    assert worker.reason == "no such model"
