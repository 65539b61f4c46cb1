"""What the scripts share: where the configs are, common options."""

from pathlib import Path
from typing import Annotated

import typer

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

Overrides = Annotated[
    list[str] | None, typer.Argument(help="group=choice or key=value, see configs/")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in out.")]


def run_script(command):
    """Runs a function as the script's only command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    run_app(app)


def run_app(app: typer.Typer):
    """Bad input ends in one line on standard error and exit status 2, as in `motionmamba`."""
    from motionmamba.cli import run

    run(app)
