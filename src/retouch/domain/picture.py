"""A decoded picture and its mask, as plain bytes so that every floor can hold them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mask:
    """How much of each pixel of a picture may change, 0 to 255: `data` is `height * width` bytes,
    row by row."""

    width: int
    height: int
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != self.width * self.height:
            raise ValueError(
                f"{self.width}x{self.height} needs {self.width * self.height} bytes, "
                f"got {len(self.data)}"
            )


@dataclass(frozen=True, slots=True)
class Picture:
    """Upright 8-bit sRGB pixels: `data` is `height * width * 3` bytes, row by row."""

    width: int
    height: int
    data: bytes
    mask: Mask | None = None  # what of it may change, if not all; of its size

    def __post_init__(self) -> None:
        if len(self.data) != self.width * self.height * 3:
            raise ValueError(
                f"{self.width}x{self.height} needs {self.width * self.height * 3} bytes, "
                f"got {len(self.data)}"
            )
