"""A transformers image classifier as a check of pictures.

Any checkpoint of `AutoModelForImageClassification` will do whose labels say which of them are
unsafe. The weights are the operator's choice; none ship with retouch.
"""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from retouch.domain.errors import EngineFailed
from retouch.domain.picture import Picture
from retouch.engine.families import WeightsError

UNSAFE = frozenset(
    {"nsfw", "unsafe", "porn", "hentai", "sexy", "sexual", "nude", "nudity", "explicit", "gore"}
)
"""Labels that count as unsafe, in lower case."""

LIMITS = (0.1, 0.3, 0.5, 0.65, 0.8, 0.9)
"""The share of unsafe labels above which a picture is refused, by tolerance 0 to 5."""


class ImageClassifier:
    """`retouch.ports.PictureCheck` over a checkpoint."""

    def __init__(self, name: str, model: Any, processor: Any) -> None:
        """Raises WeightsError when no label of the model's is a known unsafe one."""
        self.name = name
        self._model, self._processor = model.eval(), processor
        labels = {int(place): str(label) for place, label in model.config.id2label.items()}
        self._labels = {n: it for n, it in labels.items() if it.lower() in UNSAFE}
        if not self._labels:
            known, found = ", ".join(sorted(UNSAFE)), ", ".join(labels.values())
            raise WeightsError(f"{name} has the labels {found}; one at least must be of: {known}")

    @classmethod
    def load(cls, source: str) -> "ImageClassifier":
        """From a local folder or a Hugging Face repository id, on the CPU.

        Raises WeightsError.
        """
        try:
            model = AutoModelForImageClassification.from_pretrained(source)
            read: Any = AutoImageProcessor.from_pretrained  # it has no type
            processor = read(source, backend="pil")
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"no image classifier can be loaded from {source}: {error}"
            ) from error
        return cls(Path(source).name, model, processor)

    def judge(self, picture: Picture, tolerance: int) -> str | None:
        """The likeliest unsafe label once all together exceed the tolerance's limit.

        Raises EngineFailed when the classifier fails.
        """
        try:
            shares = self._shares(picture)
        except Exception as error:
            raise EngineFailed(f"The safety check of pictures failed: {error}") from error
        if sum(shares.values()) <= LIMITS[tolerance]:
            return None
        return max(shares, key=lambda label: shares[label])

    def _shares(self, picture: Picture) -> dict[str, float]:
        image = Image.frombytes("RGB", (picture.width, picture.height), picture.data)
        with torch.inference_mode():
            logits = self._model(**self._processor(images=image, return_tensors="pt")).logits[0]
            shares = logits.float().softmax(0).tolist()
        return {label: shares[place] for place, label in self._labels.items()}
