"""Reading a checkpoint folder in diffusers' layout, one component at a time.

`model_index.json` names a library and a class for each component. Only classes listed here are ever
imported, each from its own module, so that a folder can neither choose what code runs nor make a
starting worker wait for pipelines it does not use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from retouch.engine.families import WeightsError, read_json
from retouch.engine.families.schedule import Shift, parse_shift

CLASSES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("diffusers", "FluxTransformer2DModel"): (
        "diffusers.models.transformers.transformer_flux",
        "FluxTransformer2DModel",
    ),
    ("diffusers", "AutoencoderKL"): (
        "diffusers.models.autoencoders.autoencoder_kl",
        "AutoencoderKL",
    ),
    ("retouch.engine.families.codec", "DctCodec"): ("retouch.engine.families.codec", "DctCodec"),
    ("transformers", "CLIPTextModel"): ("transformers.models.clip.modeling_clip", "CLIPTextModel"),
    ("transformers", "T5EncoderModel"): ("transformers.models.t5.modeling_t5", "T5EncoderModel"),
    ("transformers", "CLIPTokenizer"): (
        "transformers.models.clip.tokenization_clip",
        "CLIPTokenizer",
    ),
    ("transformers", "CLIPTokenizerFast"): (
        "transformers.models.clip.tokenization_clip",
        "CLIPTokenizer",
    ),
    ("transformers", "T5TokenizerFast"): (
        "transformers.models.t5.tokenization_t5",
        "T5Tokenizer",
    ),
    ("transformers", "T5Tokenizer"): ("transformers.models.t5.tokenization_t5", "T5Tokenizer"),
}
"""(library, class) as a checkpoint writes it, to (module, class) as installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The components of a FLUX.1 checkpoint. The libraries bring no types."""

    transformer: Any
    vae: Any
    clip: Any
    clip_tokenizer: Any
    t5: Any
    t5_tokenizer: Any
    shift: Shift


def read_parts(folder: Path, *, device: str, dtype: torch.dtype) -> Parts:
    """Every component, ready to run on a device; raises WeightsError naming path and fault."""
    index = read_json(folder / "model_index.json")

    def tokenizer(name: str) -> Any:
        return _read(folder, index, name)

    def model(name: str, **kwargs: Any) -> Any:
        module = _read(folder, index, name, **kwargs)
        return module.to(device).eval().requires_grad_(False)

    return Parts(
        transformer=model("transformer", torch_dtype=dtype),
        vae=model("vae", torch_dtype=dtype),
        clip=model("text_encoder", dtype=dtype),
        clip_tokenizer=tokenizer("tokenizer"),
        t5=model("text_encoder_2", dtype=dtype),
        t5_tokenizer=tokenizer("tokenizer_2"),
        shift=_read_shift(folder / "scheduler" / "scheduler_config.json"),
    )


def _read(folder: Path, index: Mapping[str, Any], name: str, **kwargs: Any) -> Any:
    """One component through its class's own `from_pretrained`, never from the network."""
    named = index.get(name)
    if not (isinstance(named, list) and len(named) == 2):
        raise WeightsError(f"{folder / 'model_index.json'} names no {name}")
    if tuple(named) not in CLASSES:
        raise WeightsError(
            f"{folder / 'model_index.json'} names {'.'.join(map(str, named))} for {name}, "
            "which is not a class we load"
        )
    if not (folder / name).is_dir():
        raise WeightsError(f"there is no {name} at {folder / name}")
    module, class_name = CLASSES[tuple(named)]
    loaded = getattr(import_module(module), class_name)
    try:
        return loaded.from_pretrained(str(folder / name), local_files_only=True, **kwargs)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"cannot load {name} from {folder / name}: {error}") from error


def _read_shift(path: Path) -> Shift:
    try:
        return parse_shift(read_json(path))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
