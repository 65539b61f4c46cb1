"""For Hugging Face Spaces: the page on all addresses, at the port that a Space expects."""

from motionmamba.cli import app, run

if __name__ == "__main__":
    run(app, ["app", "--host", "0.0.0.0", "--port", "7860"])
