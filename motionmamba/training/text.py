"""Embeddings of captions, computed once and cached on disk.

A cache is a folder of files that are written once and never changed, each with some captions and
their embeddings. Captions that no file has are embedded and make another file.
"""

import hashlib
import json
import os
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from motionmamba.models.text_encoder import TextEmbedding, TextEncoder

CAPTIONS_IN_FILE = 8192  # as many are lost at most when embedding is interrupted


@dataclass(frozen=True)
class CaptionEmbeddings:
    """Embeddings of N captions: tokens (M, C) of one after another, float16, and counts (N,)."""

    tokens: torch.Tensor
    counts: torch.Tensor

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest caption."""
        return int(self.counts.max())

    @cached_property
    def _starts(self) -> torch.Tensor:
        return self.counts.cumsum(0) - self.counts

    def to(self, device) -> "CaptionEmbeddings":
        return CaptionEmbeddings(self.tokens.to(device), self.counts.to(device))

    def split(self) -> tuple[torch.Tensor, ...]:
        """The tokens (S, C) of each caption."""
        return self.tokens.split(self.counts.tolist())

    def padded(self, index: torch.Tensor) -> TextEmbedding:
        """Captions `index` (B,), padded with zeros to the longest of all."""
        place = torch.arange(self.longest, device=index.device)
        mask = place < self.counts[index, None]
        rows = (self._starts[index, None] + place).clamp(max=len(self.tokens) - 1)
        return TextEmbedding(self.tokens[rows] * mask[..., None], mask)


def embed_captions(
    encoder: TextEncoder, captions: list[str], cache: Path, batch_size: int = 256
) -> CaptionEmbeddings:
    """Embeds captions, or reads from the folder `cache` what this encoder embedded before.

    Encoders with other weights or options share nothing. Any number of processes may use a cache
    at once; a damaged file is removed and its captions embedded again.
    """
    folder = Path(cache) / f"{encoder.name}-{_fingerprint(encoder)}"
    wanted = set(captions)
    known: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        known |= {text: tokens for text, tokens in _read(path).items() if text in wanted}
    # captions of about one length share a batch, and little is computed for padding
    missing = sorted(wanted - known.keys(), key=lambda text: (len(text), text))
    bar = tqdm(total=len(missing), desc="embedding captions", leave=False, disable=not missing)
    for i in range(0, len(missing), CAPTIONS_IN_FILE):
        texts = missing[i : i + CAPTIONS_IN_FILE]
        parts = []
        for j in range(0, len(texts), batch_size):
            parts.append(_embed(encoder, texts[j : j + batch_size]))
            bar.update(len(parts[-1]))
        made = CaptionEmbeddings(
            torch.cat([part.tokens for part in parts]), torch.cat([part.counts for part in parts])
        )
        _write(folder, texts, made)
        known |= zip(texts, made.split(), strict=True)
    rows = [known[text] for text in captions]
    return CaptionEmbeddings(torch.cat(rows), torch.tensor([len(row) for row in rows]))


def _fingerprint(encoder: TextEncoder) -> str:
    """Tells encoders of one name apart by their options and weights."""
    options = {key: value for key, value in encoder.config.items() if not key.startswith("_")}
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for name, weight in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _embed(encoder: TextEncoder, texts: list[str]) -> CaptionEmbeddings:
    tokens, mask = encoder.encode(texts)
    return CaptionEmbeddings(tokens[mask].half().cpu(), mask.sum(1).cpu())


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Captions of a file and their tokens (S, C); none of a file that is damaged."""
    try:
        stored = load_file(path)
        texts = json.loads(stored["captions"].numpy().tobytes())
        embeddings = CaptionEmbeddings(stored["tokens"], stored["counts"])
        return dict(zip(texts, embeddings.split(), strict=True))
    except (SafetensorError, KeyError, ValueError, RuntimeError):
        path.unlink(missing_ok=True)
        return {}
    except FileNotFoundError:  # another process found it damaged
        return {}


def _write(folder: Path, texts: list[str], embeddings: CaptionEmbeddings):
    folder.mkdir(parents=True, exist_ok=True)
    captions = json.dumps(texts, ensure_ascii=False).encode()
    content = {
        "captions": torch.frombuffer(bytearray(captions), dtype=torch.uint8),
        "tokens": embeddings.tokens,
        "counts": embeddings.counts,
    }
    name = hashlib.sha256(captions).hexdigest()[:16]
    partial = folder / f".{name}.{uuid.uuid4().hex}.partial"
    save_file(content, partial)
    os.replace(partial, folder / f"{name}.safetensors")
