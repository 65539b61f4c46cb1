"""Random inputs of the selective scan, which the tests of all its backends share."""

import torch


def make_inputs(
    batch,
    channels,
    length,
    state,
    groups,
    dtype=torch.float64,
    seed=0,
    device="cpu",
    initial_state=False,
):
    """Arguments of `selective_scan` in layouts that models have: transposed, sliced, contiguous.

    The same numbers for every dtype and device; weights and state are never below float32.
    """
    generator = torch.Generator().manual_seed(seed)
    wide = torch.promote_types(dtype, torch.float32)

    def normal(*shape, dtype=dtype):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)

    inputs = {
        "u": normal(batch, length, channels).transpose(1, 2),
        "delta": normal(batch, channels, length),
        "A": -normal(channels, state, dtype=wide).exp(),
        "B": normal(batch, groups, state, length),
        "C": normal(batch, length, groups, state).permute(0, 2, 3, 1),
        "D": normal(channels, dtype=wide),
        "z": normal(batch, length, 2 * channels).transpose(1, 2)[:, channels:],
        "delta_bias": normal(channels, dtype=wide),
    }
    if initial_state:
        inputs["initial_state"] = normal(batch, channels, state, dtype=wide)
    return inputs
