"""The canonical edit request: what every protocol translates to and every model family reads."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal


class OutputFormat(StrEnum):
    """The file formats a finished picture can be stored in."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def content_type(self) -> str:
        """The MIME type of the format."""
        return f"image/{self.value}"

    @property
    def extension(self) -> str:
        """The file name's ending, without the dot."""
        return "jpg" if self is OutputFormat.JPEG else self.value


ReferenceLayout = Literal["offset", "stitch", "index"]
"""How several references share the position grid (diffusers has no name; these are ComfyUI's)."""

Mode = Literal["exact", "fast"]

MAX_SEED = 2**63 - 1
"""The largest seed: what a database and every device's generator take."""


@dataclass(frozen=True, slots=True)
class UrlImage:
    """A reference picture somewhere on the web, fetched by the worker."""

    url: str


@dataclass(frozen=True, slots=True)
class BlobImage:
    """A reference picture we already keep: an upload, or bytes that came inline."""

    key: str


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A reference picture inside the request body; intake stores it and makes it a `BlobImage`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FileImage:
    """A reference picture uploaded before, by its file id; intake makes it a `BlobImage`."""

    file_id: str


ImageSource = UrlImage | BlobImage | InlineImage | FileImage

Marks = Literal["transparent", "white"]
"""The pixels of a mask that mark where the picture is to change."""


@dataclass(frozen=True, slots=True)
class MaskImage:
    """Where the first picture is to change, as a picture; everywhere else it stays as it is."""

    image: ImageSource
    marks: Marks
    may_stretch: bool = False  # over the first picture, where it has another size
    strength: float = 1.0  # part of the steps that are made, from the picture under so much noise
    hides: bool = False  # whether the first picture is no reference where there are others


@dataclass(frozen=True, slots=True)
class AspectRatio:
    """Width to height as two positive integers, `16:9`."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "AspectRatio":
        """Read `W:H`; raises ValueError when it is anything else."""
        width, _, height = text.partition(":")
        ratio = cls(int(width), int(height))
        if ratio.width <= 0 or ratio.height <= 0:
            raise ValueError(f"aspect ratio {text!r} must have two positive sides")
        return ratio


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels, width first."""

    width: int
    height: int


LORA_NAME = re.compile(r"\w[\w.+-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter the weights wear for one edit, by the name the operator gave it, and how strongly.

    Raises ValueError for what cannot be a name, such as a path or an address.
    """

    name: str
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not LORA_NAME.fullmatch(self.name):
            raise ValueError("must be the name of a LoRA of this server; addresses are not fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One instruction and its pictures.

    `None` leaves a choice to the weights that serve it: `steps`, `guidance` and
    `reference_layout` fall back to the checkpoint's own recipe, `aspect_ratio` to the first
    picture's shape, `size` to the checkpoint's area, `seed` to one drawn when it is accepted.
    """

    prompt: str
    images: tuple[ImageSource, ...] = ()
    aspect_ratio: AspectRatio | None = None
    size: Size | None = None
    output_format: OutputFormat = OutputFormat.PNG
    output_quality: int = 90  # 1..100, for jpeg and webp
    count: int = 1  # pictures to make, 1..10
    previews: int = 0  # looks at the first picture while it is being made, at most
    seed: int | None = None  # 0..MAX_SEED
    guidance: float | None = None
    steps: int | None = None
    safety_tolerance: int = 2  # 0 strict .. 6 permissive
    prompt_upsampling: bool = False
    reference_layout: ReferenceLayout | None = None
    mode: Mode = "exact"
    loras: tuple[Lora, ...] = ()
    mask: MaskImage | None = None  # of the first picture

    @property
    def sources(self) -> tuple[ImageSource, ...]:
        """Every picture that came with it, the mask last."""
        return self.images if self.mask is None else (*self.images, self.mask.image)

    def with_sources(self, sources: tuple[ImageSource, ...]) -> "Edit":
        """The same with other pictures for `sources`, in their order."""
        if self.mask is None:
            return replace(self, images=sources)
        return replace(self, images=sources[:-1], mask=replace(self.mask, image=sources[-1]))
