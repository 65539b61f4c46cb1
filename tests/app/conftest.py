"""The page as it is served, once for all tests of it."""

import pytest


@pytest.fixture(scope="session")
def served():
    pytest.importorskip("gradio", reason="gradio is not installed")
    from motionmamba.app.server import running
    from motionmamba.app.worker import Options

    with running(Options()) as served:
        yield served


@pytest.fixture(scope="session")
def address(served) -> str:
    return served.address
