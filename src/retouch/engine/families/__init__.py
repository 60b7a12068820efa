"""Model families, the only place of tensors. This shop window itself imports none of their modules.

To add a family: a module with a class that answers `retouch.ports.Family` and has a classmethod
`load(folder, *, name, device, dtype, options)`, and a line in `FAMILIES`. A pipeline of diffusers
whose requests need not share forward passes is one line in `WHOLE`.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, cast

from retouch.engine.ahead import Ahead
from retouch.engine.behind import Behind
from retouch.engine.families.source import WeightsError as WeightsError
from retouch.engine.families.source import folder_of, name_of, source_of
from retouch.ports import Family, Memory

DType = Literal["float32", "bfloat16", "float16"]

QUANTISATIONS = ("none", "int8", "int8-dynamic", "float8")
"""How linears may be rounded while they load; see `families.quantised`."""

OFFLOADS = ("none", "model", "sequential")
"""The weights that may wait in main memory; see `families.offload`."""

CHOICES = ("auto", "on", "off")
"""Of what pays on some devices only: see `is_beside`, and `compile_blocks` of `load_family`."""

CACHE_BYTES = 256_000_000
"""Encoded instructions and pictures a family keeps where nobody chose how many."""

FAST_TOLERANCE = 0.1
"""How much the first block's part of a step may change for the others to be reused in fast mode."""

FAST_LIKENESS = 0.93
"""How alike to the reference, as a cosine, a place must be for steps to leave it out in fast mode.
What RegionE's authors use with FLUX.1 Kontext."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The operator's choices beside weights, device and precision."""

    transformer: Path | None = None  # single file of it, instead of the folder's
    quantisation: str = "none"  # one of QUANTISATIONS
    offload: str = "none"  # one of OFFLOADS
    loras: Path | None = None  # folder of those that edits may name
    cache_bytes: int = CACHE_BYTES  # encoded instructions and pictures kept for later requests
    fast_tolerance: float = FAST_TOLERANCE  # 0: no step is cut short
    fast_likeness: float = FAST_LIKENESS  # 0: every step has all places


FAMILIES: Mapping[str, tuple[str, str]] = {
    "FluxTransformer2DModel": ("retouch.engine.families.flux1", "Flux1Family"),
    "Flux2Transformer2DModel": ("retouch.engine.families.flux2", "Flux2Family"),
}
"""The class a checkpoint names for its transformer, and the family that runs it."""

INPAINTING = ("FluxTransformer2DModel",)
"""Those of them whose families keep to a mask in each step; all others leave that to the end."""

WHOLE: dict[str, int] = {
    "LongCatImageEditPipeline": 1,
    "QwenImageEditPipeline": 1,
    "QwenImageEditPlusPipeline": 3,
}
"""Pipelines of diffusers that are driven whole, by `whole`, and the pictures each takes at most."""


def load_family(
    path_or_name: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    transformer: Path | None = None,
    quantisation: str = "none",
    offload: str = "none",
    loras: Path | None = None,
    cache_bytes: int = CACHE_BYTES,
    fast_tolerance: float = FAST_TOLERANCE,
    fast_likeness: float = FAST_LIKENESS,
    compile_blocks: str = "off",
) -> Family:
    """A family with its weights loaded: `toy`, or what `source_of` understands.

    `transformer` is a safetensors or GGUF file of that component; the folder has the others and its
    configuration. Edits may name the LoRAs in the folder `loras`; without one there are none. The
    rest of its choices are those of `Options`. `compile_blocks` is one of `CHOICES`: blocks are
    compiled where the family can, which makes the start longer; `auto` does so on CUDA, unless
    LoRAs or weights that move would have them compiled again and again.
    `device` and `dtype` may be `auto` (`families.device`). Raises WeightsError when the folder, a
    component or its configuration is not usable.
    """
    if path_or_name == "toy":
        from retouch.engine.families.toy import ToyFamily

        return ToyFamily()
    _check_choice("compile_blocks", compile_blocks)
    options = Options(
        transformer=transformer,
        quantisation=quantisation,
        offload=offload,
        loras=loras,
        cache_bytes=cache_bytes,
        fast_tolerance=fast_tolerance,
        fast_likeness=fast_likeness,
    )
    source = source_of(path_or_name)
    folder = folder_of(source)
    module, class_name = _family_of(folder / "model_index.json")
    from retouch.engine.families.device import choose

    place, precision = choose(device, dtype)
    _check_options(options, place, precision)
    family = getattr(import_module(module), class_name)
    loaded = family.load(
        folder, name=name_of(source), device=place, dtype=precision, options=options
    )
    if _is_compiled(compile_blocks, options, place):
        getattr(loaded, "compile", lambda: None)()
    return cast("Family", loaded)


def _check_options(options: Options, place: str, precision: DType) -> None:
    """Raise WeightsError for what a device or a precision cannot do, before weights are read."""
    if options.quantisation != "none":
        from retouch.engine.families.quantised import check_quantisation

        check_quantisation(options.quantisation, place, precision)
    if options.offload != "none":
        from retouch.engine.families.offload import check_offload

        check_offload(options.offload, place, has_loras=options.loras is not None)


def _is_compiled(choice: str, options: Options, place: str) -> bool:
    is_steady = options.offload != "sequential" and options.loras is None
    return choice == "on" or (choice == "auto" and is_steady and _is_cuda(place))


def may_inpaint(path_or_name: str | Path) -> bool:
    """Whether weights keep to a mask in each step, as far as one can tell without loading them.

    True for what is not on this machine, and for `toy`, which stands in for any weights.
    """
    if path_or_name == "toy":
        return True
    try:
        index = read_json(folder_of(source_of(path_or_name)) / "model_index.json")
    except WeightsError:
        return True
    named = index.get("transformer")
    return isinstance(named, list) and any(part in INPAINTING for part in named)


def check_weights(path_or_name: str | Path) -> None:
    """Raise WeightsError unless weights lie on this machine and name a family that runs them."""
    _family_of(folder_of(source_of(path_or_name)) / "model_index.json")


def _family_of(index: Path) -> tuple[str, str]:
    """The module and the class that run what a checkpoint's index names; raises WeightsError."""
    values = read_json(index)
    if values.get("_class_name") in WHOLE:
        return "retouch.engine.families.whole", "WholeFamily"
    named = values.get("transformer")
    kind = str(named[1]) if isinstance(named, list) and len(named) == 2 else "none"
    if kind not in FAMILIES:
        known = ", ".join(sorted((*FAMILIES, *WHOLE)))
        raise WeightsError(f"{index} names the transformer {kind!r}; known: {known}")
    return FAMILIES[kind]


def load_memory(path_or_name: str | Path, *, device: str = "cpu") -> Memory | None:
    """The memory such a family lives in; None for one without tensors."""
    if path_or_name == "toy":
        return None
    from retouch.engine.families.device import AUTO, DeviceMemory, choose

    return DeviceMemory(choose(device, AUTO)[0])


def load_ahead(
    family: Family,
    choice: str = "auto",
    *,
    device: str,
    offload: str = "none",
    cache_bytes: int = CACHE_BYTES,
) -> Ahead | None:
    """A thread that encodes pictures beside the steps of others; None where there is none.

    There is none for families that cannot, nor without a cache to put things in; otherwise as
    `is_beside` says. Raises WeightsError.
    """
    warm = getattr(family, "warm", None)  # of some families, beyond what all answer
    _check_choice("open_ahead", choice)
    if warm is None or not cache_bytes or not is_beside(choice, device=device, offload=offload):
        return None  # asked last: it takes torch, which the toy has not loaded
    return Ahead(warm, ThreadPoolExecutor(1, thread_name_prefix="ahead"))


def load_behind(
    family: Family, choice: str = "auto", *, device: str, offload: str = "none"
) -> Behind | None:
    """A thread that decodes finished pictures beside the steps of others; None where there is none.

    There is none for families that cannot; otherwise as `is_beside` says. Raises WeightsError.
    """
    decode = getattr(family, "close_beside", None)  # as `warm`
    _check_choice("open_ahead", choice)
    if decode is None or not is_beside(choice, device=device, offload=offload):
        return None
    return Behind(decode, ThreadPoolExecutor(1, thread_name_prefix="behind"))


def is_beside(choice: str, *, device: str, offload: str) -> bool:
    """Whether pictures are encoded and decoded beside the steps of others.

    `auto` is so on CUDA, where the steps leave the processor idle; on a processor both would share
    its cores. Never where weights move between memories as they are used. Raises WeightsError for a
    choice that is none of `CHOICES`.
    """
    _check_choice("open_ahead", choice)
    if choice == "off" or offload != "none":
        return False
    return choice == "on" or _is_cuda(device)


def _check_choice(name: str, choice: str) -> None:
    if choice not in CHOICES:
        raise WeightsError(f"{name} is {choice!r}; known: {', '.join(CHOICES)}")


def _is_cuda(device: str) -> bool:
    from retouch.engine.families.device import AUTO, choose

    return choose(device, AUTO)[0].startswith("cuda")


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from a file; raises WeightsError naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} must hold a JSON object")
    return value
