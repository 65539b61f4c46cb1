"""For Hugging Face Spaces: the page on all addresses, at the port that a Space expects."""

from motionmamba.app.server import serve
from motionmamba.app.worker import Options

if __name__ == "__main__":
    serve(Options(), "0.0.0.0", 7860)
