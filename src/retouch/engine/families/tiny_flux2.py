"""A tiny FLUX.2 klein checkpoint of random weights in the real layout, as `tiny` is for FLUX.1."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_flux2 import AutoencoderKLFlux2
from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM

from retouch.engine.families.text_flux2 import LAYERS
from retouch.engine.families.tiny import LETTERS, SCHEDULER

INDEX = {
    "_class_name": "Flux2KleinPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3ForCausalLM"],
    "tokenizer": ["transformers", "Qwen2TokenizerFast"],
    "transformer": ["diffusers", "Flux2Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLFlux2"],
}

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_flux2_checkpoint(
    folder: Path,
    *,
    is_distilled: bool = True,
    recipe: Mapping[str, Any] | None = None,
    heads: int = 2,
    text_width: int = 8,
    seed: int = 0,
) -> Path:
    """Write one to a folder and return it. `recipe` becomes its `retouch.json`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = _autoencoder()
        transformer = Flux2Transformer2DModel(
            in_channels=4 * vae.config.latent_channels,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=heads,
            joint_attention_dim=len(LAYERS) * text_width,
            timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        )
        for name, weight in transformer.named_parameters():
            if ".norm_" in name and weight.ndim == 1:  # born as ones, which would hide a mix-up
                torch.nn.init.uniform_(weight, 0.5, 1.5)
        transformer.save_pretrained(folder / "transformer")
        vae.save_pretrained(folder / "vae")
        _write_qwen(folder, text_width)
    _write(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    _write(folder / "model_index.json", {**INDEX, "is_distilled": is_distilled})
    if recipe is not None:
        _write(folder / "retouch.json", recipe)
    return folder


def _autoencoder() -> Any:
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
    )
    torch.nn.init.normal_(vae.bn.running_mean)
    torch.nn.init.uniform_(vae.bn.running_var, 0.5, 2.0)
    return vae


def _write_qwen(folder: Path, width: int) -> None:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*LETTERS, "Ġ", "Ċ", *special]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        unk_token="<|endoftext|>",  # noqa: S106  a word, not a secret
        pad_token="<|endoftext|>",  # noqa: S106  no secret
        eos_token="<|im_end|>",  # noqa: S106  no secret
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT,
        model_max_length=512,
    )
    tokenizer.save_pretrained(folder / "tokenizer")
    config = Qwen3Config(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=max(LAYERS) + 3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=vocabulary["<|im_end|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder / "text_encoder")


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
