"""The page as it is served, once for all tests of it."""

from contextlib import closing

import pytest


@pytest.fixture(scope="session")
def served():
    pytest.importorskip("gradio", reason="gradio is not installed")
    from motionmamba.app.server import Server
    from motionmamba.app.worker import Options

    with closing(Server(Options())) as served:
        served.start()
        yield served


@pytest.fixture(scope="session")
def address(served) -> str:
    return served.address
