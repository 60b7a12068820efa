"""What Qwen's text encoder reads: words, and pictures cut into patches by Pillow.

The published processor handles videos too, and for them alone wants torchvision, whose builds fit
one build of torch each. Without videos it needs no such thing, and pictures come out the same on
every machine.
"""

from pathlib import Path
from typing import Any

from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor


class PictureProcessor(Qwen2VLProcessor):
    """`Qwen2VLProcessor` without its third part, the one for videos."""

    @classmethod
    def get_attributes(cls) -> list[str]:
        """The parts it is made of."""
        return ["image_processor", "tokenizer"]


def read_processor(folder: Path) -> PictureProcessor:
    """From a checkpoint's `processor` folder; raises OSError or ValueError."""
    processor: Any = PictureProcessor  # transformers brings no types
    made: PictureProcessor = processor(
        Qwen2VLImageProcessorPil.from_pretrained(str(folder), local_files_only=True),
        Qwen2Tokenizer.from_pretrained(str(folder), local_files_only=True),
    )
    return made
