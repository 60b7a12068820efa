"""Both ends of a masked edit: picture and mask brought into one shape, and the result laid over it.

The mask says how much of each pixel may change. Where it is 0 the answer has the picture's own
pixels, scaled to the answer's size and nothing else.
"""

from dataclasses import dataclass, replace

from PIL import Image, ImageFilter

from retouch.domain.edit import AspectRatio, Edit, MaskImage
from retouch.domain.errors import BadInput
from retouch.domain.failure import FailureKind
from retouch.domain.picture import Mask, Picture

EDGE = 96
"""The shorter side of an answer is so many times its soft edge."""

MAX_EDGE = 12
"""Pixels; a little more than one latent of the autoencoders of FLUX stands for."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A picture and what of it may change, of one size."""

    picture: Picture
    mask: Mask

    @property
    def reference(self) -> Picture:
        """Both, as the engine takes them."""
        return replace(self.picture, mask=self.mask)

    @classmethod
    def of(cls, picture: Picture, mask: Mask, edit: Edit) -> "Masked":
        """Both in the shape the edit asks for, if it asks for one: cut around the centre.

        Raises BadInput for a mask of another size, unless it may be stretched.
        """
        said = edit.mask
        if (mask.width, mask.height) != (picture.width, picture.height):
            mask = _stretched(picture, mask, said)
        return cls(picture, mask)._cut(_asked(edit))

    def restored(self, result: Picture) -> Picture:
        """The result where the mask lets it through, and the picture everywhere else.

        Inside of the mask the result fades in over a few pixels, so that no seam shows. The
        picture is stretched to the result's size, as a model sees it.
        """
        size = result.width, result.height
        picture = _image(self.picture).resize(size, Image.Resampling.LANCZOS)
        mask = _grey(self.mask).resize(size, Image.Resampling.BOX)
        edge = min(MAX_EDGE, max(1, min(size) // EDGE))
        whole = Image.composite(_image(result), picture, _faded(mask, edge))
        return Picture(*size, whole.tobytes())

    def _cut(self, ratio: AspectRatio | None) -> "Masked":
        if ratio is None:
            return self
        width, height = self.picture.width, self.picture.height
        wide = min(width, round(height * ratio.width / ratio.height)) or 1
        high = min(height, round(width * ratio.height / ratio.width)) or 1
        left, top = (width - wide) // 2, (height - high) // 2
        box = left, top, left + wide, top + high
        picture, mask = _image(self.picture).crop(box), _grey(self.mask).crop(box)
        if mask.getextrema()[1] == 0:
            raise BadInput(
                FailureKind.UNREADABLE,
                f"The mask marks nothing within the {wide}x{high} pixels around the centre "
                f"of the first image that have the shape asked for.",
            )
        return Masked(Picture(wide, high, picture.tobytes()), Mask(wide, high, mask.tobytes()))


def _stretched(picture: Picture, mask: Mask, said: MaskImage | None) -> Mask:
    if said is None or not said.may_stretch:
        raise BadInput(
            FailureKind.UNREADABLE,
            f"The mask is {mask.width}x{mask.height} pixels, but the first image is "
            f"{picture.width}x{picture.height}: they must have the same size.",
        )
    size = picture.width, picture.height
    return Mask(*size, _grey(mask).resize(size, Image.Resampling.BOX).tobytes())


def _asked(edit: Edit) -> AspectRatio | None:
    if edit.size is not None:
        return AspectRatio(edit.size.width, edit.size.height)
    return edit.aspect_ratio


def _faded(mask: Image.Image, edge: int) -> Image.Image:
    """The mask, growing from next to nothing at its border to itself `edge` pixels further in.

    A mean of the mask and of what is left of it when one pixel after the other is taken from its
    border: no thin line of it is lost, and nothing outside is touched.
    """
    left, mean = mask, mask
    for taken in range(1, edge + 1):
        left = left.filter(ImageFilter.MinFilter(3))
        mean = Image.blend(mean, left, 1 / (taken + 1))
    return mean


def _image(picture: Picture) -> Image.Image:
    return Image.frombuffer("RGB", (picture.width, picture.height), picture.data)


def _grey(mask: Mask) -> Image.Image:
    return Image.frombuffer("L", (mask.width, mask.height), mask.data)
