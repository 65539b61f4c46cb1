"""Which shapes are compared."""

from dataclasses import dataclass

from .contestants import Shape

SWEEP_CHANNELS, SWEEP_START = 512, 16


@dataclass(frozen=True)
class Defaults:
    """Of a kind of device: dtype, shapes, the sweep's end, and its B L where B > 1."""

    dtype: str
    shapes: str
    max_length: int
    tokens: int


DEFAULTS = {
    "cuda": Defaults(
        "bfloat16",
        "1x512x64,64x512x64,64x512x200,256x512x50,8x512x4096,1x512x65536,1x512x1048576",
        2**20,
        2**18,
    ),
    "cpu": Defaults("float32", "8x512x200,1x256x4096", 2**14, 2**11),
}


@dataclass(frozen=True)
class Plan:
    """Single shapes, and sweeps over L by name."""

    shapes: list[Shape]
    sweeps: dict[str, list[Shape]]

    def __iter__(self):
        return iter(dict.fromkeys([*self.shapes, *sum(self.sweeps.values(), [])]))


def make_plan(device: str, shapes: str | None, max_length: int | None, quick: bool) -> Plan:
    """Fills in the device's defaults; quick takes every second length of the sweep.

    Raises:
        ValueError: if the shapes cannot be read.
    """
    defaults = DEFAULTS[device]
    single = [Shape.parse(text) for text in (shapes or defaults.shapes).split(",")]
    end = defaults.max_length if max_length is None else max_length
    lengths = [SWEEP_START]
    while lengths[-1] < end:
        lengths.append(lengths[-1] * (16 if quick else 4))
    lengths = [length for length in lengths if length <= end]
    if not lengths:
        return Plan(single, {})
    tokens = defaults.tokens
    batches = {"1": lambda length: 1, f"{tokens} over L": lambda length: max(tokens // length, 1)}
    sweeps = {
        name: [Shape(batch(length), SWEEP_CHANNELS, length) for length in lengths]
        for name, batch in batches.items()
    }
    return Plan(single, sweeps)
