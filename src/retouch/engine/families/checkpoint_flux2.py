"""The components of a FLUX.2 klein checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retouch.engine.families import WeightsError
from retouch.engine.families.checkpoint import (
    Placement,
    read_model,
    read_shift,
    read_tokenizer,
    read_transformer,
)
from retouch.engine.families.schedule import Shift
from retouch.engine.families.text_flux2 import LAYERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The components. The libraries bring no types."""

    transformer: Any
    vae: Any
    qwen: Any
    tokenizer: Any
    shift: Shift


def read_flux2_parts(
    folder: Path, index: Mapping[str, Any], placement: Placement, *, transformer: Path | None = None
) -> Parts:
    """All of them; `transformer` is a file of it, instead of the folder's.

    Raises WeightsError.
    """
    parts = Parts(
        transformer=read_transformer(folder, index, placement, transformer),
        vae=read_model(folder, index, "vae", placement),
        qwen=_trimmed(folder, read_model(folder, index, "text_encoder", placement, is_large=True)),
        tokenizer=read_tokenizer(folder, index, "tokenizer"),
        shift=read_shift(folder / "scheduler" / "scheduler_config.json"),
    )
    _check_widths(folder, parts)
    return parts


def _trimmed(folder: Path, qwen: Any) -> Any:
    """The text encoder without what nobody reads: the layers past the last one, the word head."""
    base, needed = qwen.model, max(LAYERS) + 1  # the last layer's own output comes normed
    if len(base.layers) < max(LAYERS):
        raise WeightsError(
            f"{folder / 'text_encoder'} has {len(base.layers)} layers, needs {max(LAYERS)}"
        )
    if len(base.layers) > needed:
        del base.layers[needed:]
        base.config.num_hidden_layers = needed
    return base


def _check_widths(folder: Path, parts: Parts) -> None:
    """Components trained together fit together; say so before the first edit fails."""
    for name, gives, field in (
        ("vae", 4 * parts.vae.config.latent_channels, "in_channels"),
        ("text_encoder", len(LAYERS) * parts.qwen.config.hidden_size, "joint_attention_dim"),
    ):
        wanted = parts.transformer.config[field]
        if gives != wanted:
            raise WeightsError(
                f"{folder / name} gives {gives} features, but the transformer's {field} is {wanted}"
            )
