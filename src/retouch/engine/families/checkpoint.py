"""Reading a checkpoint folder in diffusers' layout, one component at a time.

`model_index.json` names a library and a class for each component. Only classes listed here can be
named, each imported from its own module: a folder cannot choose what code runs, and nobody waits
for pipelines. Importing this module imports everything slow that FLUX.1 needs, so that a fork
server that has it can hand out workers that only read weights; other families' classes come on use.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer
from transformers.models.t5.modeling_t5 import T5EncoderModel
from transformers.models.t5.tokenization_t5 import T5Tokenizer
from transformers.utils import logging as transformers_logging

from retouch.engine.families import DType, Options, WeightsError, read_json, wide
from retouch.engine.families.codec import DctCodec
from retouch.engine.families.offload import Mover, lodge
from retouch.engine.families.quantised import loading_options
from retouch.engine.families.schedule import Shift, parse_shift

CLASSES: Mapping[tuple[str, str], Any] = {
    ("diffusers", "FluxTransformer2DModel"): FluxTransformer2DModel,
    ("diffusers", "AutoencoderKL"): AutoencoderKL,
    ("retouch.engine.families.codec", "DctCodec"): DctCodec,
    ("transformers", "CLIPTextModel"): CLIPTextModel,
    ("transformers", "CLIPTokenizer"): CLIPTokenizer,
    ("transformers", "CLIPTokenizerFast"): CLIPTokenizer,
    ("transformers", "T5EncoderModel"): T5EncoderModel,
    ("transformers", "T5Tokenizer"): T5Tokenizer,
    ("transformers", "T5TokenizerFast"): T5Tokenizer,
}
"""(library, class) as a checkpoint writes it, and the class as installed."""

IMPORTED_ON_USE: Mapping[tuple[str, str], tuple[str, str]] = {
    ("diffusers", "Flux2Transformer2DModel"): (
        "diffusers.models.transformers.transformer_flux2",
        "Flux2Transformer2DModel",
    ),
    ("diffusers", "AutoencoderKLFlux2"): (
        "diffusers.models.autoencoders.autoencoder_kl_flux2",
        "AutoencoderKLFlux2",
    ),
    ("transformers", "Qwen3ForCausalLM"): (
        "transformers.models.qwen3.modeling_qwen3",
        "Qwen3ForCausalLM",
    ),
    ("transformers", "Qwen2Tokenizer"): (
        "transformers.models.qwen2.tokenization_qwen2",
        "Qwen2Tokenizer",
    ),
    ("transformers", "Qwen2TokenizerFast"): (
        "transformers.models.qwen2.tokenization_qwen2",
        "Qwen2Tokenizer",
    ),
}
"""(library, class) as a checkpoint writes it, and the module and class as installed."""

SINGLE_FILES = (".safetensors", ".gguf")
"""The file formats of a transformer by itself."""

VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")
"""Files a tokenizer's words may be in."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the models of a checkpoint go, and as what."""

    device: str
    dtype: torch.dtype
    quantisation: str = "none"  # of the large ones
    offload: str = "none"

    @classmethod
    def of(cls, device: str, dtype: DType, options: Options) -> "Placement":
        """As an operator has chosen."""
        return cls(device, getattr(torch, dtype), options.quantisation, options.offload)

    def waits(self, name: str) -> bool:
        """Whether a component waits in main memory."""
        return self.offload == "sequential" or (self.offload == "model" and name != "transformer")


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


def read_parts(folder: Path, placement: Placement, *, transformer: Path | None = None) -> Parts:
    """Every component, ready to run; raises WeightsError naming path and fault.

    `transformer` is as in `read_transformer`.
    """
    index = read_json(folder / "model_index.json")
    parts = Parts(
        transformer=read_transformer(folder, index, placement, transformer),
        vae=read_model(folder, index, "vae", placement),
        clip=read_model(folder, index, "text_encoder", placement),
        clip_tokenizer=read_tokenizer(folder, index, "tokenizer"),
        t5=read_model(folder, index, "text_encoder_2", placement, is_large=True),
        t5_tokenizer=read_tokenizer(folder, index, "tokenizer_2"),
        shift=read_shift(folder / "scheduler" / "scheduler_config.json"),
    )
    _check_widths(folder, parts)
    return parts


def _check_widths(folder: Path, parts: Parts) -> None:
    """Components trained together fit together; say so before the first edit fails."""
    for name, gives, field in (
        ("vae", 4 * parts.vae.config.latent_channels, "in_channels"),
        ("text_encoder", parts.clip.config.hidden_size, "pooled_projection_dim"),
        ("text_encoder_2", parts.t5.config.d_model, "joint_attention_dim"),
    ):
        wanted = parts.transformer.config[field]
        if gives != wanted:
            raise WeightsError(
                f"{folder / name} gives {gives} features, but the transformer's {field} is {wanted}"
            )


def read_model(
    folder: Path,
    index: Mapping[str, Any],
    name: str,
    placement: Placement,
    *,
    is_large: bool = False,
) -> Any:
    """A model ready to run, with every weight its class has; raises WeightsError.

    The libraries would draw missing ones at random. Quantised weights are rounded in main memory
    and only then go to the device.
    """
    library, _ = _named(folder, index, name)
    model, info = _read(
        folder,
        index,
        name,
        use_safetensors=True,
        output_loading_info=True,
        dtype=placement.dtype,
        **(loading_options(placement.quantisation, library) if is_large else {}),
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise WeightsError(f"{folder / name} lacks {len(missing)} weights, such as {missing[0]}")
    return _ready(model, name, placement)


def read_transformer(
    folder: Path,
    index: Mapping[str, Any],
    placement: Placement,
    file: Path | None,
) -> Any:
    """The transformer ready to run, its weights from a safetensors or GGUF file if there is one.

    The folder then has its configuration only. Linears of a GGUF file stay as small as they are
    there and are turned into the placement's precision while they are used. Raises WeightsError.
    """
    if file is None:
        return read_model(folder, index, "transformer", placement, is_large=True)
    if file.suffix not in SINGLE_FILES:
        known = " or ".join(SINGLE_FILES)
        raise WeightsError(f"the transformer is {str(file)!r}, must be a {known} file")
    if not file.is_file():
        raise WeightsError(f"there is no transformer at {file}")
    component = _component(folder, index, "transformer")
    options = loading_options(placement.quantisation, "diffusers")
    if file.suffix == ".gguf":
        if options:
            raise WeightsError(
                f"{file} is quantised already; with it the quantisation must be 'none', "
                f"not {placement.quantisation!r}"
            )
        options = {"quantization_config": _gguf(file, placement.dtype)}
    config = folder / "transformer" / "config.json"
    try:
        model = component.from_single_file(
            str(file),
            config=str(folder),
            subfolder="transformer",
            local_files_only=True,
            dtype=placement.dtype,
            **options,
        )
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"cannot load {file}: are its weights those of the {component.__name__} that {config} "
            f"describes? ({type(error).__name__}: {error})"
        ) from error
    return _ready(model, "transformer", placement)


def _gguf(file: Path, dtype: torch.dtype) -> Any:
    """The settings that diffusers needs to read a GGUF file."""
    if find_spec("gguf") is None:
        raise WeightsError(
            f"{file} needs the package gguf; run in retouch's checkout: pip install '.[gguf]'"
        )
    from diffusers.quantizers.quantization_config import GGUFQuantizationConfig

    config: Any = GGUFQuantizationConfig
    return config(compute_dtype=dtype)


def _ready(model: Any, name: str, placement: Placement) -> Any:
    if placement.waits(name):
        lodge(model.eval().requires_grad_(False), Mover(placement.device))
        return model
    ready = model.to(placement.device).eval().requires_grad_(False)
    if ready.device.type == "cpu" and wide.pays(ready.dtype):
        wide.widen(ready)
    return ready


def read_tokenizer(folder: Path, index: Mapping[str, Any], name: str) -> Any:
    """A tokenizer that was trained; without these files the library would make an empty one."""
    tokenizer = _read(folder, index, name)
    if not any((folder / name / file).exists() for file in VOCABULARIES):
        raise WeightsError(f"{folder / name} has none of {', '.join(VOCABULARIES)}")
    return tokenizer


def _read(folder: Path, index: Mapping[str, Any], name: str, **kwargs: Any) -> Any:
    """One component through its class's own `from_pretrained`, never from the network."""
    component = _component(folder, index, name)
    path = folder / name
    if not path.is_dir():
        raise WeightsError(f"there is no {name} at {path}")
    try:
        with without_progress_bars():
            return component.from_pretrained(str(path), local_files_only=True, **kwargs)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"cannot load {name} from {path}: {error}") from error


def _component(folder: Path, index: Mapping[str, Any], name: str) -> Any:
    """The class that the folder names for a component; raises WeightsError for one not ours."""
    library, class_name = _named(folder, index, name)
    component = _class(library, class_name)
    if component is None:
        raise WeightsError(
            f"{folder / 'model_index.json'} names {library}.{class_name} for {name}, "
            "which is not a class we load"
        )
    return component


def _named(folder: Path, index: Mapping[str, Any], name: str) -> tuple[str, str]:
    """The library and class that the folder names for a component; raises WeightsError."""
    named = index.get(name)
    if not (isinstance(named, list) and len(named) == 2):
        raise WeightsError(f"{folder / 'model_index.json'} names no {name}")
    return str(named[0]), str(named[1])


def _class(library: str, name: str) -> Any:
    """The class as installed, or None for one we do not load."""
    if (library, name) in IMPORTED_ON_USE:
        module, installed = IMPORTED_ON_USE[library, name]
        return getattr(import_module(module), installed)
    return CLASSES.get((library, name))


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Both libraries draw them into the worker's log. (Their functions have no types.)"""
    libraries: tuple[Any, ...] = (transformers_logging, diffusers_logging)
    enabled = [it for it in libraries if it.is_progress_bar_enabled()]
    for it in enabled:
        it.disable_progress_bar()
    try:
        yield
    finally:
        for it in enabled:
            it.enable_progress_bar()


def read_shift(path: Path) -> Shift:
    """The noise schedule in a `scheduler_config.json`; raises WeightsError."""
    try:
        return parse_shift(read_json(path))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
