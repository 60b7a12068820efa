"""Linears rounded to eight bits while weights load, by torchao through diffusers and transformers.

A choice of the operator, for a whole model: what is then computed is exact in those weights.
Every row of a product has a scale of its own, so that company in a pack changes no request.
"""

import logging
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from retouch.engine.families import QUANTISATIONS, WeightsError

FLOAT8_CAPABILITY = (9, 0)
"""The oldest CUDA devices, Hopper, whose products take float8 with a scale for each row."""

INTEGER_DEVICES = ("cpu", "cuda")

CONFIGURATIONS: Mapping[str, str] = {
    "int8": "Int8WeightOnlyConfig",
    "int8-dynamic": "Int8DynamicActivationInt8WeightConfig",
    "float8": "Float8DynamicActivationFloat8WeightConfig",
}
"""torchao's names."""

KEPT = ["x_embedder", "context_embedder", "norm_out", "proj_out.weight"]
"""Modules of a transformer in and out of its blocks: each number of the picture passes them, and
they are less than a hundredth of the weights. (The last is a weight, not a module: blocks have
modules of that name, which are not kept.)"""


def check_quantisation(quantisation: str, device: str, dtype: str) -> None:
    """Raise WeightsError unless weights can be loaded so, for a device and a precision."""
    if quantisation not in QUANTISATIONS:
        known = ", ".join(QUANTISATIONS)
        raise WeightsError(f"the quantisation is {quantisation!r}; known: {known}")
    if quantisation == "none":
        return
    if find_spec("torchao") is None:
        raise WeightsError(
            f"the quantisation {quantisation!r} needs the package torchao; "
            "run in retouch's checkout: pip install '.[quant]'"
        )
    kind = torch.device(device).type
    if quantisation == "float8":
        _check_float8(device, kind, dtype)
    elif kind not in INTEGER_DEVICES:
        known = " or ".join(INTEGER_DEVICES)
        raise WeightsError(
            f"the quantisation {quantisation!r} needs a device that is {known}, not {device!r}"
        )


def _check_float8(device: str, kind: str, dtype: str) -> None:
    least = ".".join(map(str, FLOAT8_CAPABILITY))
    needs = f"the quantisation 'float8' needs a CUDA device of compute capability {least} or newer"
    if kind != "cuda":
        raise WeightsError(f"{needs}, not {device!r}; int8 and int8-dynamic do not")
    if dtype != "bfloat16":
        raise WeightsError(f"the quantisation 'float8' needs the dtype bfloat16, not {dtype!r}")
    has = torch.cuda.get_device_capability(device)
    if has < FLOAT8_CAPABILITY:
        raise WeightsError(
            f"{needs}; {device!r} has {'.'.join(map(str, has))}; int8 and int8-dynamic do not"
        )


def loading_options(quantisation: str, library: str) -> dict[str, Any]:
    """The arguments for `from_pretrained` of a model of diffusers or transformers."""
    if quantisation == "none":
        return {}
    # It calls float32 unsupported, which it is not, and asks for parts of older torchao.
    logging.getLogger("diffusers.quantizers.torchao.torchao_quantizer").setLevel(logging.ERROR)
    torchao = import_module("torchao.quantization")
    by_row = torchao.PerRow()  # a scale for a whole product would depend on the company in it
    rounding = getattr(torchao, CONFIGURATIONS[quantisation])(granularity=by_row)
    if library == "diffusers":
        from diffusers.quantizers.quantization_config import TorchAoConfig

        options: Any = TorchAoConfig
        return {"quantization_config": options(rounding, modules_to_not_convert=[*KEPT])}
    from transformers.utils.quantization_config import TorchAoConfig as TextConfig

    options = TextConfig
    return {"quantization_config": options(rounding)}
