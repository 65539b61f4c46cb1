"""What the page tells of the model, its body and this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parents[1] / "assets" / "open" / "README.md"
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)[^)]*\)")
_CARD_BYTES = 100_000


def model_card(model: str | None) -> str:
    """The model card as Markdown, without front matter and links to files that are not served."""
    card = SHIPPED if model is None else Path(model) / "README.md"
    try:
        text = card.read_bytes()[:_CARD_BYTES].decode("utf-8", "replace")
    except OSError:
        where = "Its folder has no model card (README.md)."
        if not Path(model).exists():
            where = f"Its card is at [{model}](https://huggingface.co/{model})."
        return f"### About this model\n\n{where}"
    return _LOCAL_LINK.sub(r"\1", _FRONT_MATTER.sub("", text)).replace("\n# ", "\n## ", 1)


def this_machine(info: dict[str, Any]) -> str:
    """A table of what runs here, as Markdown; what `Studio.info` says."""
    device = info["device"]
    if device == "cpu":
        device = f"CPU, {info['threads']} thread{'s' * (info['threads'] > 1)}"
    parts = ", ".join(f"{name} {n / 1e6:.1f} M" for name, n in info["parameters"].items())
    rows = {
        "device": device,
        "weights loaded in": f"{info['load_seconds']:g} s",
        "parameters": parts,
        "text encoder": info["text encoder"],
        "longest motion": f"{info['max_seconds']:g} s",
        "by default": f"{info['steps']} steps, guidance {info['guidance']:g}",
        "body": info["body"],
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"### Running here\n\n| | |\n|---|---|\n{table}"


LICENCES = """### Licences

| | |
|---|---|
| code | Apache-2.0 |
| weights of the shipped model | CC BY-NC 4.0, as the recordings that it was trained on |
| shipped body | CC0 1.0 (MakeHuman); an own SMPL file stays under its own licence |
| text encoder all-MiniLM-L6-v2 | Apache-2.0 |
| motions that you make | of the shipped model: not for commercial use, name the data set |
"""
API = """### Use it from a program

Plain HTTP: [this page](/api/docs) describes it and lets you try it.

```
curl -s http://127.0.0.1:7860/api/generate -H 'Content-Type: application/json' \\
  -d '{"prompt": "a person walks in a circle", "seconds": 8, "seed": 1}'
```

The same through `gradio_client`, which fetches the files too:

```python
from gradio_client import Client

client = Client("http://127.0.0.1:7860")
told, files = client.predict("a person walks in a circle", seconds=8, seed=1, api_name="/generate")
```
"""
