"""Muon for hidden matrices beside AdamW for everything else, in one optimiser-shaped object.

Muon (Keller Jordan, 2024): the momentum of a matrix is replaced by its nearest half-orthogonal
matrix, found by five quintic Newton-Schulz iterations.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

MUON_LR = 0.02
ADAM_LR = 1e-3


def orthogonalised(matrix: Tensor, rounds: int = 5) -> Tensor:
    """The half-orthogonal matrix near `matrix` (singular values about 1), same shape."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.mT if matrix.shape[-2] > matrix.shape[-1] else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if matrix.shape[-2] > matrix.shape[-1] else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled by sqrt(max(1, rows / columns))."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update; matrices of equal shape are iterated together."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in alike.items():
                blends = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                    blends.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, update in zip(
                    parameters, orthogonalised(torch.stack(blends)), strict=True
                ):
                    parameter.add_(update, alpha=-group["lr"] * scale)


def optimisers(model: FluxTransformer2DModel, muon: bool = True) -> list[torch.optim.Optimizer]:
    """The optimisers of a transformer, each group remembering its full rate as `peak`."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        hidden = parameter.ndim == 2 and "blocks" in name and "norm" not in name
        (matrices if hidden and muon else rest).append(parameter)
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=ADAM_LR, betas=(0.9, 0.98), weight_decay=0.0)
    ]
    if matrices:
        made.append(Muon(matrices, lr=MUON_LR))
    for optimiser in made:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return made
