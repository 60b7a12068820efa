"""What the janitor takes away, and what it leaves."""

from retouch.blobs import ObstoreBlobs
from retouch.domain.edit import Edit
from retouch.domain.prediction import Fence, Prediction, Progress, Succeed
from retouch.service.janitor import PREVIEWS_KEPT_S, Janitor
from retouch.testing import FakeClock, MemoryStore


async def test_previews_go_a_while_after_the_end_and_the_pictures_stay() -> None:
    clock, blobs = FakeClock(), ObstoreBlobs.at("memory:///")
    store = MemoryStore(clock)
    janitor = Janitor(store=store, files=store, blobs=blobs, clock=clock, keep_s={})
    made = Prediction(
        id="p", owner="me", protocol="test", model="a/b", input={}, edit=Edit(prompt="x"),
        created_at=clock.now(),
    )  # fmt: skip
    await store.add(made)
    (running,) = await store.claim("w", limit=1, lease_s=10)
    keys = (running.preview_key(0), "p/0/preview-0.png", "p/1/0.png")
    for key in keys:
        await blobs.put(key, b"picture")
    await store.beat("w", {"p": (1, Progress(1, 2, previews=1))}, lease_s=10)
    await store.advance("p", Succeed((), {}), fence=Fence("w", 1))

    early = await janitor.drop_previews()
    clock.advance(PREVIEWS_KEPT_S)
    late = await janitor.drop_previews()

    assert keys[0] == "p/1/preview-0.png"
    assert (early, late) == (0, 1)
    assert await blobs.list("p") == ["p/1/0.png"]
