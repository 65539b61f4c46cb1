"""The web page under load, from outside: how soon it is there, who is served, what it keeps."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
import psutil

PROMPT = "a person walks in a circle"
SHORT = {"prompt": PROMPT, "seconds": 1, "steps": 4}
PATIENCE = 600  # seconds for an answer


@contextmanager
def served():
    """Runs `motionmamba app`; gives its address, process and folder, and seconds of its start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        program = "from motionmamba.cli import main; main()"
        command = [sys.executable, "-c", program, "app", "--port", str(port)]
        began = time.perf_counter()
        environment = {**os.environ, "TMPDIR": folder}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            # to ask until there is an answer would take the processor from the start
            if not any(address in line for line in process.stdout):
                raise ValueError("the page could not be served, see above")
            start = {"command_to_address_s": time.perf_counter() - began}
            httpx.get(address).raise_for_status()
            start["command_to_answered_page_s"] = time.perf_counter() - began
            yield address, psutil.Process(process.pid), Path(folder), start
        finally:
            process.terminate()
            process.wait(20)


def time_motions(address: str) -> dict[str, float]:
    """Seconds from the request for a motion of 6 s to its video: the first, and those after it."""
    runs = []
    with httpx.Client(base_url=address, timeout=PATIENCE) as http:
        for seed in range(4):
            began = time.perf_counter()
            asked = {"prompt": PROMPT, "seconds": 6, "seed": seed}
            http.post("/api/generate", json=asked).raise_for_status()
            runs.append(time.perf_counter() - began)
    return {
        "request_to_first_video_s": runs[0],
        "request_to_later_video_s": median(runs[1:]),
    }


async def crowd(address: str, clients: int) -> dict[str, object]:
    """All ask at the same moment for a motion of a second, as if each had its own address."""

    async def ask(http: httpx.AsyncClient, number: int) -> tuple[int, float]:
        began = time.perf_counter()
        own = {"X-Forwarded-For": f"10.0.{number // 250}.{number % 250 + 1}"}
        answer = await http.post("/api/generate", json=SHORT | {"seed": number}, headers=own)
        return answer.status_code, time.perf_counter() - began

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE, limits=limits) as http:
        answers = await asyncio.gather(*(ask(http, number) for number in range(clients)))
    return {
        "clients": clients,
        "answers": {str(status): n for status, n in Counter(s for s, _ in answers).items()},
        "longest_wait_s": max(seconds for _, seconds in answers),
        "longest_refusal_s": max([s for status, s in answers if status == 429], default=0.0),
    }


def endure(address: str, process: psutil.Process, folder: Path, count: int, tell) -> dict:
    """One motion of a second after the other; memory of all processes after each tenth."""
    memory = []
    with httpx.Client(base_url=address, timeout=PATIENCE) as http:
        for number in range(count):
            http.post("/api/generate", json=SHORT | {"seed": number}).raise_for_status()
            tell(number + 1)
            if (number + 1) % max(count // 10, 1) == 0:
                memory.append(_memory(process))
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "generations": count,
        "memory_mb": [round(m / 2**20) for m in memory],
        "files": len(files),
        "files_mb": round(sum(path.stat().st_size for path in files) / 2**20),
    }


def _memory(process: psutil.Process) -> int:
    """Bytes of a process and its children; what they share counts once."""
    family = [process, *process.children(recursive=True)]
    return sum(each.memory_full_info().pss for each in family)
