"""Weights that wait in main memory and are on the device only while their layer computes.

`model` lets the side models wait, text encoders and codec: each is used once or twice an edit.
`sequential` lets the transformer wait too: every step then carries all of it over, once for all the
requests in the pass. (diffusers calls them so.) It works on layers, not on models, because the
packed pass calls the layers of the transformer and never the transformer itself.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retouch.engine.families import OFFLOADS, WeightsError


def check_offload(offload: str, device: str, *, has_loras: bool = False) -> None:
    """Raise WeightsError unless weights can wait so, for a device.

    A layer of a LoRA is put on the transformer while edits run, and would wait nowhere.
    """
    if offload not in OFFLOADS:
        raise WeightsError(f"the offload is {offload!r}; known: {', '.join(OFFLOADS)}")
    if offload == "none":
        return
    if torch.device(device).type != "cuda":
        raise WeightsError(
            f"the offload {offload!r} frees the memory of a CUDA device, not of {device!r}; "
            "it must be 'none' there"
        )
    if offload == "sequential" and has_loras:
        raise WeightsError(
            "the offload 'sequential' has no room for LoRAs; take 'model', or set no folder of them"
        )


class Mover:
    """Takes tensors from main memory to a device. They are never written, so none comes back."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def home(self, weight: Tensor) -> Tensor:
        """A weight as it waits: in memory that the device reads by itself, where it can be."""
        is_plain = type(weight) in (Tensor, nn.Parameter)
        return weight.data.pin_memory() if is_plain and self.device.type == "cuda" else weight

    def out(self, weight: Tensor) -> Tensor:
        """A weight on the device."""
        return weight.to(self.device, non_blocking=True)


def lodge(model: nn.Module, mover: Mover) -> None:
    """Have every layer of a model bring its weights with it and leave them at home again.

    A layer is any module with weights of its own inside the model; what the model itself has
    besides, and buffers, are small and stay on the device.
    """
    homes: dict[int, Tensor] = {}  # by a weight's identity: tied layers share one
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(mover.device)
        own = {name: it for name, it in module._parameters.items() if it is not None}
        if module is model:
            for weight in own.values():
                weight.data = mover.out(weight.data)
        elif own:
            for weight in own.values():
                if id(weight) not in homes:
                    homes[id(weight)] = mover.home(weight)
            _visit(module, {name: homes[id(it)] for name, it in own.items()}, mover)


def _visit(layer: nn.Module, homes: Mapping[str, Tensor], mover: Mover) -> None:
    # Not `setattr`: a weight on a visit need not be a Parameter.
    weights: dict[str, Any] = layer._parameters

    def bring(_layer: nn.Module, inputs: Any, named: Any) -> tuple[Any, Any]:
        weights.update({name: mover.out(home) for name, home in homes.items()})
        return tuple(map(here, inputs)), {name: here(value) for name, value in named.items()}

    def here(value: Any) -> Any:
        return value.to(mover.device) if isinstance(value, Tensor) else value

    def leave(_layer: nn.Module, _inputs: Any, _output: Any) -> None:
        weights.update(homes)

    weights.update(homes)
    layer.register_forward_pre_hook(bring, with_kwargs=True)
    layer.register_forward_hook(leave, always_call=True)
