"""Edits with a mask: what their pictures show, and what fails of the mask."""

import io

import pytest
from PIL import Image

from retouch.domain.edit import BlobImage, Edit, ImageSource, Marks, MaskImage, UrlImage
from retouch.domain.failure import BAD_INPUT, MASK_PLACE
from retouch.domain.picture import Mask, Picture
from retouch.domain.prediction import Prediction
from retouch.images.decode import decode_bytes, decode_mask
from retouch.testing import MemoryStore
from tests.unit.worker.working import DictBlobs, Edges, ended, prediction, working

SIZE = (64, 64)
PHOTO = Image.radial_gradient("L").resize(SIZE).convert("RGB")


class Decoding(Edges):
    """Reads pictures in this process."""

    async def decode(self, data: bytes) -> Picture:
        return decode_bytes(data)

    async def decode_mask(self, data: bytes, marks: Marks) -> Mask:
        return decode_mask(data, marks)


def saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def hole(size: tuple[int, int] = SIZE) -> bytes:
    """The right half may change."""
    mask = Image.new("RGBA", size, "red")
    mask.paste((0, 0, 0, 0), (size[0] // 2, 0, *size))
    return saved(mask)


async def made(blobs: DictBlobs, mask: ImageSource, **more: object) -> Prediction:
    blobs.kept |= {"in/0": saved(PHOTO), "in/1": hole(), "in/2": hole((8, 8)), "in/3": b"text"}
    store = MemoryStore()
    edit = Edit(
        prompt="x",
        images=(BlobImage("in/0"),),
        mask=MaskImage(mask, "transparent"),
        seed=1,
        **more,  # type: ignore[arg-type]
    )
    await store.add(prediction(edit=edit))
    async with working(store, blobs, edges=Decoding()):
        return await ended(store)


async def test_every_picture_and_preview_has_the_inputs_pixels_outside_the_mask() -> None:
    blobs = DictBlobs()

    done = await made(blobs, BlobImage("in/1"), count=2, previews=2, steps=4)

    keys = [*(output.key for output in done.outputs), done.preview_key(0), done.preview_key(1)]
    assert len(keys) == 4
    for key in keys:
        with Image.open(io.BytesIO(blobs.kept[key])) as picture:
            left, right = picture.crop((0, 0, 32, 64)), picture.crop((32, 0, *SIZE))
            assert left.tobytes() == PHOTO.crop((0, 0, 32, 64)).tobytes()
            assert right.tobytes() != PHOTO.crop((32, 0, *SIZE)).tobytes()


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        (BlobImage("in/2"), "The mask is 8x8 pixels, but the first image is 64x64: they must have"),
        (BlobImage("in/0"), "The mask has no alpha channel: its transparent pixels say what to"),
        (BlobImage("in/3"), "The mask could not be decoded: not a jpeg, png, gif or webp."),
        (UrlImage("http://h/bad.png"), "The mask URL could not be fetched: the server answered"),
    ],
)
async def test_a_mask_that_is_unusable_fails_its_prediction(mask: ImageSource, error: str) -> None:
    done = await made(DictBlobs(), mask)

    assert (done.error or "").startswith(error)
    assert done.failure is not None
    assert (done.failure.kind in BAD_INPUT, done.failure.picture) == (True, MASK_PLACE)


async def test_a_mask_of_no_picture_fails_its_prediction() -> None:
    store, edit = MemoryStore(), Edit(prompt="x", mask=MaskImage(UrlImage("http://h/m"), "white"))
    await store.add(prediction(edit=edit))

    async with working(store, edges=Decoding()):
        done = await ended(store)

    assert done.error == "The mask has no input image that it is of."
