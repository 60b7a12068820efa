"""The instruction as FLUX.2 klein reads it: what three layers of Qwen make of it as a chat."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LAYERS = (9, 18, 27)
"""Those whose outputs, side by side, are the text."""


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Qwen with its tokenizer (transformers' objects, which bring no types).

    The chat is padded to `max_sequence_length`; padding takes part in the transformer, as in
    training. Longer instructions are cut.
    """

    qwen: Any
    tokenizer: Any
    max_sequence_length: int
    device: torch.device

    def encode(self, prompt: str) -> Tensor:
        """(max_sequence_length, joint_attention_dim)."""
        chat = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        encoded = self.tokenizer(
            chat,
            padding="max_length",
            max_length=self.max_sequence_length,
            truncation=True,
            return_tensors="pt",
        )
        states = self.qwen(
            input_ids=encoded.input_ids.to(self.device),
            attention_mask=encoded.attention_mask.to(self.device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        return torch.cat([states[layer][0] for layer in LAYERS], dim=1)
