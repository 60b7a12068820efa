"""A tiny checkpoint of random weights in the real layout, written in a second.

The real classes with a few thousand parameters, for parity tests and benchmarks: it makes noise,
not pictures.
"""

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5EncoderModel
from transformers.models.t5.tokenization_t5 import T5Tokenizer

from retouch.engine.families.codec import DctCodec

POOLED_WIDTH = 20
LETTERS = string.ascii_lowercase + string.digits

INDEX = {
    "_class_name": "FluxKontextPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

DCT = ["retouch.engine.families.codec", "DctCodec"]

SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}
"""`scheduler_config.json` of FLUX.1 Kontext [dev]."""


def write_checkpoint(
    folder: Path,
    *,
    guidance_embeds: bool = True,
    recipe: Mapping[str, Any] | None = None,
    double_blocks: int = 2,
    single_blocks: int = 2,
    heads: int = 2,
    head_dim: int = 16,
    codec: Literal["kl", "dct"] = "kl",
    vae_widths: tuple[int, int, int, int] = (4, 4, 8, 8),
    text_width: int = 24,
    seed: int = 0,
) -> Path:
    """Write one to a folder and return it. `recipe` becomes its `retouch.json`.

    `head_dim` is a multiple of 16 and `text_width` one of 8; larger ones make a model to time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae, vae_class = (
            (_autoencoder(vae_widths), INDEX["vae"]) if codec == "kl" else (DctCodec(), DCT)
        )
        transformer = FluxTransformer2DModel(
            in_channels=4 * vae.config.latent_channels,
            num_layers=double_blocks,
            num_single_layers=single_blocks,
            attention_head_dim=head_dim,
            num_attention_heads=heads,
            joint_attention_dim=text_width,
            pooled_projection_dim=POOLED_WIDTH,
            guidance_embeds=guidance_embeds,
            axes_dims_rope=_axes(head_dim),
        )
        for name, weight in transformer.named_parameters():
            if ".norm_" in name and weight.ndim == 1:  # born as ones, which would hide a mix-up
                torch.nn.init.uniform_(weight, 0.5, 1.5)
        transformer.save_pretrained(folder / "transformer")
        vae.save_pretrained(folder / "vae")
        _write_clip(folder)
        _write_t5(folder, text_width)
    _write(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    _write(folder / "model_index.json", {**INDEX, "vae": vae_class})
    if recipe is not None:
        _write(folder / "retouch.json", recipe)
    return folder


def _axes(head_dim: int) -> tuple[int, int, int]:
    """How FLUX.1 divides a head's channels, 128 as 16 + 56 + 56, for any size."""
    side = 2 * (head_dim * 7 // 32)
    return head_dim - 2 * side, side, side


def _autoencoder(widths: tuple[int, int, int, int]) -> Any:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=2,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )


def _write_clip(folder: Path) -> None:
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(
        folder / "tokenizer"
    )
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=POOLED_WIDTH,
        projection_dim=POOLED_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")


def _write_t5(folder: Path, width: int) -> None:
    words = ["<pad>", "</s>", "<unk>", "▁", *LETTERS]
    scores = [(word, 0.0 if word.startswith("<") else -2.0) for word in words]
    T5Tokenizer(vocab=scores, extra_ids=0, model_max_length=512).save_pretrained(
        folder / "tokenizer_2"
    )
    config = T5Config(
        vocab_size=len(words),
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
    )
    T5EncoderModel(config).save_pretrained(folder / "text_encoder_2")


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
