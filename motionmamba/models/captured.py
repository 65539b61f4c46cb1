"""Calls of a model as CUDA graphs: launching a small network costs more than its arithmetic."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

MOST_GRAPHS = 8  # each holds the memory of a forward pass
MOST_ROWS = 128  # a larger batch keeps the GPU busy longer than launching it takes
WARM_UPS = 2  # the first call compiles kernels, the second finds what is cached


class CapturedModel:
    """A model that is called as before, and on CUDA recorded once for each shape of its inputs.

    Inputs are tensors or None, the result is one tensor. Nothing is recorded elsewhere, where a
    hook moves the model's weights about, for large batches, or inputs that need gradients.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self._graphs: OrderedDict[tuple, _Graph] = OrderedDict()

    def __call__(self, *inputs: Tensor | None, **named: Tensor | None) -> Tensor:
        tensors = dict(enumerate(inputs)) | named
        if not self._can_capture(tensors):
            return self.model(*inputs, **named)
        # Weights that were moved lie elsewhere than the recording reads them, all of them.
        weights = next(self.model.parameters()).data_ptr()
        kinds = ((n, None if t is None else (t.shape, t.dtype)) for n, t in tensors.items())
        key = weights, *kinds
        graph = self._graphs.pop(key, None) or _Graph(self.model, len(inputs), tensors)
        self._graphs[key] = graph
        if len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        return graph(tensors)

    def _can_capture(self, tensors: dict) -> bool:
        given = [t for t in tensors.values() if t is not None]
        return (
            all(t.is_cuda for t in given)
            and len(given[0]) <= MOST_ROWS
            and not hasattr(self.model, "_hf_hook")
            and not (torch.is_grad_enabled() and any(t.requires_grad for t in given))
        )


class _Graph:
    def __init__(self, model: nn.Module, positional: int, tensors: dict):
        self.inputs = {n: None if t is None else t.clone() for n, t in tensors.items()}
        arguments = [self.inputs[i] for i in range(positional)]
        named = {n: t for n, t in self.inputs.items() if isinstance(n, str)}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.no_grad():
            for _ in range(WARM_UPS):
                model(*arguments, **named)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"), torch.no_grad():
            self.output = model(*arguments, **named)

    def __call__(self, tensors: dict) -> Tensor:
        for name, tensor in tensors.items():
            if tensor is not None:
                self.inputs[name].copy_(tensor)
        self.graph.replay()
        return self.output.clone()
