"""Pictures on their way into a worker: where they come from, and what fails of them."""

import os
import re
import shutil
import signal
import sys
from dataclasses import replace

import pytest

from retouch.domain.edit import BlobImage, Edit, OutputFormat, UrlImage
from retouch.domain.failure import Failure, FailureKind
from retouch.domain.prediction import Status
from retouch.images.encode import encode
from retouch.images.process import ProcessDecoder
from retouch.testing import MemoryStore
from tests.unit.worker.working import (
    OPTIONS,
    PIXEL,
    DictBlobs,
    Edges,
    ended,
    prediction,
    until,
    working,
)


async def test_references_come_from_urls_and_blobs() -> None:
    store, blobs = MemoryStore(), DictBlobs()
    blobs.kept["in/0"] = b"picture"
    images = (UrlImage("http://h/good.png"), BlobImage("in/0"))
    await store.add(prediction(edit=Edit(prompt="x", images=images, seed=1)))

    async with working(store, blobs):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED


async def test_pictures_that_are_too_much_together_fail_before_the_rest_is_decoded() -> None:
    store, opened = MemoryStore(), list[str]()

    class Counting(Edges):
        async def fetch(self, url: str, what: str = "image") -> bytes:
            opened.append(url)
            return b"picture"

    images = tuple(UrlImage(f"https://pictures.example/{n}") for n in range(4))
    for id, count in (("fits", 2), ("p", 4)):
        await store.add(prediction(id, Edit(prompt="x", images=images[:count], seed=1)))

    limit = 2 * PIXEL.width * PIXEL.height
    async with working(store, options=replace(OPTIONS, max_pixels=limit), edges=Counting()):
        fits, done = await ended(store, "fits"), await ended(store)

    assert fits.status is Status.SUCCEEDED
    assert done.status is Status.FAILED
    assert re.fullmatch(
        r"The input images have more than the \S+ megapixels allowed together\.", done.error or ""
    )
    assert images[3].url not in opened


async def test_a_picture_that_kills_its_decoders_fails_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, blobs, decoder = MemoryStore(), DictBlobs(), ProcessDecoder()
    blobs.kept["in/0"] = encode(PIXEL, OutputFormat.PNG)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # dies whatever it is asked
    await store.add(prediction(edit=Edit(prompt="x", images=(BlobImage("in/0"),), seed=1)))

    async with working(store, blobs, decoder=decoder):
        done = await ended(store)
    await decoder.stop()

    assert done.status is Status.FAILED
    assert done.error == (
        "The input image could not be decoded: it is damaged or needs too much memory."
    )
    assert done.attempt == 1


async def test_a_decoder_that_somebody_kills_costs_no_prediction() -> None:
    store, blobs, decoder = MemoryStore(), DictBlobs(), ProcessDecoder()
    blobs.kept["in/0"] = photo = encode(PIXEL, OutputFormat.PNG)
    await decoder.decode(photo)
    (child,) = decoder._idle
    os.kill(child._process.pid, signal.SIGSTOP)
    await store.add(prediction(edit=Edit(prompt="x", images=(BlobImage("in/0"),), seed=1)))

    async with working(store, blobs, decoder=decoder):

        async def is_decoding() -> bool:
            return bool(decoder._busy)

        await until(store, is_decoding)
        child._process.kill()
        done = await ended(store)
    await decoder.stop()

    assert done.status is Status.SUCCEEDED
    assert done.attempt == 1


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        (
            UrlImage("http://h/bad.png"),
            Failure(
                FailureKind.UNFETCHED,
                "The image URL could not be fetched: the server answered 404.",
                1,
            ),
        ),
        (
            BlobImage("broken"),
            Failure(FailureKind.UNREADABLE, "The input image could not be decoded.", 1),
        ),
        (
            BlobImage("gone"),  # such as an earlier result that was removed meanwhile
            Failure(FailureKind.UNFETCHED, "The input image is no longer kept here.", 1),
        ),
    ],
)
async def test_an_unusable_picture_fails_its_prediction_with_a_sentence(
    source: UrlImage | BlobImage, failure: Failure
) -> None:
    store, blobs = MemoryStore(), DictBlobs()
    blobs.kept["broken"] = b"?"
    images = (UrlImage("http://h/good.png"), source)
    await store.add(prediction(edit=Edit(prompt="x", images=images, seed=1)))

    async with working(store, blobs):
        done = await ended(store)

    assert (done.status, done.failure) == (Status.FAILED, failure)
