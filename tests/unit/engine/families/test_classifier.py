"""The image classifier, on a tiny random checkpoint in transformers' own layout."""

import random
from pathlib import Path

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from retouch.domain.errors import EngineFailed
from retouch.domain.picture import Picture
from retouch.engine.families import WeightsError
from retouch.engine.families.classifier import LIMITS, ImageClassifier


def write(folder: Path, *labels: str) -> Path:
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
    )
    torch.manual_seed(0)
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def leaning(classifier: ImageClassifier, *logits: float) -> ImageClassifier:
    """The same with the head's answer fixed."""
    head = classifier._model.classifier
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor(logits))
    return classifier


@pytest.fixture
def photo() -> Picture:
    return Picture(50, 40, random.Random(1).randbytes(50 * 40 * 3))  # noqa: S311  no secret


def test_a_picture_is_refused_once_its_unsafe_share_exceeds_the_tolerance(
    tmp_path: Path, photo: Picture
) -> None:
    folder = write(tmp_path / "tiny", "normal", "nsfw")

    for share in (0.05, 0.4, 0.7, 0.95):
        odds = torch.logit(torch.tensor(share)).item()
        classifier = leaning(ImageClassifier.load(str(folder)), 0.0, odds)
        refused = [bool(classifier.judge(photo, level)) for level in range(len(LIMITS))]
        assert refused == [share > limit for limit in LIMITS]


def test_shares_of_all_unsafe_labels_count_together_and_the_likeliest_is_named(
    tmp_path: Path, photo: Picture
) -> None:
    folder = write(tmp_path, "neutral", "porn", "Hentai", "drawings")
    classifier = leaning(ImageClassifier.load(str(folder)), 0.0, 0.1, 0.2, 0.0)

    assert classifier.judge(photo, 2) == "Hentai"
    assert classifier.judge(photo, 3) is None


def test_it_judges_the_pixels(tmp_path: Path) -> None:
    classifier = ImageClassifier.load(str(write(tmp_path, "normal", "nsfw")))
    shares = {
        classifier._shares(Picture(8, 8, bytes([value]) * 192))["nsfw"] for value in (0, 128, 255)
    }

    assert len(shares) == 3


def test_labels_that_say_nothing_of_safety_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="labels cat, dog; one at least must be of: explicit"):
        ImageClassifier.load(str(write(tmp_path, "cat", "dog")))


def test_a_folder_that_holds_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"no image classifier can be loaded from {tmp_path}"):
        ImageClassifier.load(str(tmp_path))


def test_a_classifier_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = ImageClassifier.load(str(write(tmp_path, "normal", "nsfw")))
    monkeypatch.setattr(classifier, "_model", lambda **_: 1 / 0)

    with pytest.raises(EngineFailed, match="safety check of pictures failed"):
        classifier.judge(Picture(1, 1, b"abc"), 2)
