"""The instruction as FLUX.1 reads it: T5's tokens and CLIP's summary."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Text:
    """An encoded instruction, in the text encoders' precision."""

    tokens: Tensor  # (max_sequence_length, joint_attention_dim), padding included
    pooled: Tensor  # (pooled_projection_dim,)


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Both encoders with their tokenizers (transformers' objects, which bring no types).

    T5 is padded to `max_sequence_length` and gets no mask: its padding takes part, here and in the
    transformer, as in training. Longer instructions are cut.
    """

    clip: Any
    clip_tokenizer: Any
    t5: Any
    t5_tokenizer: Any
    max_sequence_length: int
    device: torch.device

    def encode(self, prompt: str) -> Text:
        """Both views of one instruction."""
        t5_ids = _ids(self.t5_tokenizer, prompt, self.max_sequence_length).to(self.device)
        clip_ids = _ids(self.clip_tokenizer, prompt, self._clip_length)
        tokens = self.t5(t5_ids, output_hidden_states=False)[0]
        pooled = self.clip(clip_ids.to(self.device), output_hidden_states=False).pooler_output
        return Text(tokens[0], pooled[0])

    @property
    def _clip_length(self) -> int:
        """77 for CLIP-L; a tokenizer without a configuration would say infinity."""
        positions: int = self.clip.config.max_position_embeddings
        return min(int(self.clip_tokenizer.model_max_length), positions)


def _ids(tokenizer: Any, prompt: str, length: int) -> Tensor:
    """Token ids padded or cut to a length: (1, length)."""
    encoded = tokenizer(
        [prompt], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    ids: Tensor = encoded.input_ids
    return ids.to(torch.long)
