"""Serves the page."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path

from motionmamba.app.results import Results
from motionmamba.app.worker import Options, Worker, uncollected

MOST_BYTES = 2**20  # of what a client may send at once
MOST_EVENTS = 64
# parts of Gradio that this page has no use for, and strangers none either
CLOSED = (
    "/upload",
    "/proxy=",
    "/file=http",
    "/vibe-edit",
    "/undo-vibe-edit",
    "/run-history",
    "/process_recording",
    "/dev/",
)
HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


class Guard:
    """ASGI middleware: closes what is not needed, bounds what is sent, and lets nothing out."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"].removeprefix("/gradio_api")
        if path.startswith(CLOSED):
            return await _answer(send, 403, "This page takes no files and fetches none.")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return await _answer(send, 413, f"At most {MOST_BYTES // 1024} KB can be sent.")
        taken, begun = 0, False

        async def bounded():
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            # a request without a length ends as if its client had gone
            return {"type": "http.disconnect"} if taken > MOST_BYTES else message

        async def sealed(message):
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self.app(scope, bounded, sealed)
        except Exception:
            logging.exception("a request failed")
            if not begun:
                await _answer(send, 400, "There is no such thing here, or not with this content.")


async def _answer(send, status: int, sentence: str) -> None:
    content = json.dumps({"error": "refused", "message": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"connection", b"close"),  # the rest of the request is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Server:
    """The page, the worker behind it and the folder of its results; `close` ends all of them."""

    def __init__(self, options: Options):
        self.worker = Worker(options)
        self.address = ""
        self._options = options
        self._root = Path(tempfile.mkdtemp(prefix="motionmamba-")).resolve()
        self._blocks = None

    def start(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        auth: tuple[str, str] | None = None,
    ) -> None:
        """Serves the page at `address` from when the model is loaded, and then returns.

        Raises:
            ValueError: when the model cannot be loaded, the port cannot be had, or Gradio is not
                installed.
        """
        # read when Gradio is imported: it takes files from nowhere else, and tells nobody anything
        os.environ.update(GRADIO_TEMP_DIR=str(self._root), GRADIO_ANALYTICS_ENABLED="False")
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # that it remembers of itself
        self.worker.start()  # and meanwhile Gradio is imported here
        with uncollected():
            blocks, settings = _build(self.worker, Results(self._root), self._options, auth)
            self.worker.wait()
            self.address = _launch(blocks, host, port, settings)
        self._blocks = blocks

    def close(self) -> None:
        if self._blocks is not None:
            self._blocks.close(verbose=False)
        self.worker.close()
        shutil.rmtree(self._root, ignore_errors=True)


def _build(worker: Worker, results: Results, options: Options, auth):
    """The page, and what Gradio is told to serve it with."""
    try:
        from starlette.middleware import Middleware
        from starlette.routing import Mount

        from motionmamba.app.api import Programs
        from motionmamba.app.page import Page
        from motionmamba.app.theme import theme
    except ModuleNotFoundError as error:
        raise ValueError(f"the page needs {error.name}; pip install 'motionmamba[app]'") from error
    blocks = Page(worker, results, options).build()
    blocks.queue(default_concurrency_limit=None, max_size=MOST_EVENTS, api_open=False)
    assets = files("motionmamba") / "assets" / "app"
    return blocks, {
        "auth": auth,
        "theme": theme(),
        "css": (assets / "page.css").read_text(),
        "head": f"<script>{(assets / 'page.js').read_text()}</script>",
        "app_kwargs": {
            "docs_url": None,
            "redoc_url": None,
            "middleware": [Middleware(Guard)],
            "routes": [Mount("/api", Programs(worker, results).routes(auth))],
        },
    }


def _launch(blocks, host: str, port: int | None, settings: dict) -> str:
    """The address."""
    try:
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=False,
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=["api"],
            max_file_size=1,
            **settings,
        )
    except OSError as error:
        raise ValueError(f"cannot listen on {host}, port {port}: {error}") from error
    return address


@contextmanager
def _ended_by_signals(clean: Callable[[], None]):
    """Ctrl+C and SIGTERM end the program here and now, with status 130.

    An exception in the midst of imports may be lost, or leave their locks behind.
    """

    def end(*_):
        clean()
        os._exit(130)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(options: Options, host: str, port: int, auth: str | None = None) -> None:
    """Serves until interrupted; `auth` is "user:password".

    Raises:
        ValueError: for an `auth` without both, and as `Server.start` does; later too, when the
            model had to be loaded again and cannot be.
    """
    login = _login(auth) if auth is not None else None
    _check_address(host, port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with closing(Server(options)) as server:
        with _ended_by_signals(server.close):
            print("loading the model ...", flush=True)
            server.start(host, port, login)
        try:
            print(f"Motion Mamba runs on {server.address} (stop it with Ctrl+C)", flush=True)
            while not server.worker.reason:
                time.sleep(0.5)
        except KeyboardInterrupt:
            print("stopped")
            return
        raise ValueError(server.worker.reason)


def _check_address(host: str, port: int) -> None:
    """Raises ValueError where nobody could listen, before all the work for it."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"cannot listen on {host}, port {port}: {reason}") from error


def _login(auth: str) -> tuple[str, str]:
    user, _, password = auth.partition(":")
    if not user or not password:
        raise ValueError("--auth has no user or no password; give user:password")
    return user, password
