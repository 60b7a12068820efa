"""What safety checks and upsampling make of a prediction."""

import pytest

from retouch.domain.edit import Edit, Size, UrlImage
from retouch.domain.errors import Blocked
from retouch.domain.failure import FailureKind
from retouch.domain.picture import Picture
from retouch.domain.prediction import Status
from retouch.engine.families.toy import Stage, ToyFamily
from retouch.service.safety import Safety
from retouch.service.words import WordList
from retouch.testing import MemoryStore
from tests.unit.worker.working import PIXEL, DictBlobs, ended, prediction, working


class Judge:
    """Refuses pictures of a size, and counts what it sees."""

    name = "judge"

    def __init__(self, width: int = 0) -> None:
        self.width, self.seen = width, 0

    def judge(self, picture: Picture, tolerance: int) -> str | None:
        self.seen += 1
        return "something" if picture.width == self.width else None


async def test_a_refused_prompt_never_reaches_the_engine() -> None:
    store = MemoryStore()
    await store.add(prediction(edit=Edit(prompt="a nude", seed=1)))

    def breaks(stage: Stage, prompt: str) -> bool:
        raise AssertionError("the engine was asked")

    async with working(store, family=ToyFamily(breaks=breaks), safety=Safety(WordList.built_in())):
        done = await ended(store)

    refusal = "The prompt or an input picture was refused by a safety check. Found: nudity."
    assert done.error == refusal
    assert done.progress is None


@pytest.mark.parametrize(
    ("width", "kind"),
    [(PIXEL.width, FailureKind.BLOCKED_REQUEST), (64, FailureKind.BLOCKED_RESULT)],
    ids=["an input", "a result"],
)
async def test_a_refused_picture_fails_its_prediction_and_is_not_stored(
    width: int, kind: FailureKind
) -> None:
    store, blobs = MemoryStore(), DictBlobs()
    edit = Edit(prompt="x", images=(UrlImage("http://h/good.png"),), size=Size(64, 64), seed=1)
    await store.add(prediction(edit=edit))

    async with working(store, blobs, safety=Safety(pictures=Judge(width))):
        done = await ended(store)

    assert done.status is Status.FAILED
    assert done.failure == Blocked(kind, "something").failure
    assert "Safety checks: pictures by judge" in done.logs
    assert blobs.kept == {}


@pytest.mark.parametrize(("tolerance", "judged"), [(2, True), (6, False)])
async def test_the_outcome_records_whether_pictures_were_judged(
    tolerance: int, judged: bool
) -> None:
    store, judge = MemoryStore(), Judge()
    edit = Edit(prompt="x", seed=1, previews=1, safety_tolerance=tolerance)
    await store.add(prediction(edit=edit))

    async with working(store, safety=Safety(pictures=judge)):
        done = await ended(store)

    assert [output.is_judged for output in done.outputs] == [judged]
    assert judge.seen == (2 if judged else 0)  # the preview, and the picture
    assert ("Safety checks" in done.logs) is judged


async def test_logs_say_what_became_of_a_prompt_to_be_upsampled() -> None:
    store = MemoryStore()
    await store.add(prediction(edit=Edit(prompt="x", seed=1, prompt_upsampling=True)))

    async with working(store):
        done = await ended(store)

    assert done.status is Status.SUCCEEDED
    seed, said, *rest = done.logs.splitlines()
    assert seed == "Using seed: 1"
    assert said.startswith("Prompt upsampling is not configured on this server")
    assert "%|" in rest[-1]
