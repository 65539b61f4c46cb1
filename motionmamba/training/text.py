"""Embeddings of all captions of a data set, computed once and cached on disk."""

import hashlib
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from motionmamba.models.text_encoder import TextEmbedding, TextEncoder


def embed_captions(
    encoder: TextEncoder, captions: list[str], cache: Path, batch_size: int = 256
) -> TextEmbedding:
    """Embeds N captions, or reads them from `cache` when the same ones were embedded before.

    Returns:
        float16 tokens (N, S, C), padded with zeros to the longest caption, and the mask (N, S).
    """
    digest = hashlib.sha256("\n".join([encoder.name, *captions]).encode()).hexdigest()[:16]
    path = Path(cache) / f"{encoder.name}-{digest}.safetensors"
    if path.is_file():
        try:
            stored = load_file(path)
            return TextEmbedding(stored["tokens"], stored["mask"])
        except SafetensorError:
            path.unlink()  # cut short when it was written: embed again
    embedding = _embed(encoder, captions, batch_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    save_file({"tokens": embedding.tokens, "mask": embedding.mask}, partial)
    os.replace(partial, path)
    return embedding


def _embed(encoder: TextEncoder, captions: list[str], batch_size: int) -> TextEmbedding:
    tokens, masks = [], []
    for i in tqdm(range(0, len(captions), batch_size), desc="embedding captions", leave=False):
        part = encoder.encode(captions[i : i + batch_size])
        tokens.append((part.tokens * part.mask[..., None]).half().cpu())
        masks.append(part.mask.cpu())
    longest = max(m.shape[1] for m in masks)
    pad = torch.nn.functional.pad
    return TextEmbedding(
        torch.cat([pad(t, (0, 0, 0, longest - t.shape[1])) for t in tokens]),
        torch.cat([pad(m, (0, longest - m.shape[1])) for m in masks]),
    )
