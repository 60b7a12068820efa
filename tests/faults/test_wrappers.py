"""The wrappers themselves: no verb of any port escapes them."""

import inspect
from typing import Any

import pytest

from retouch.domain.errors import Busy
from retouch.ports import Blobs, Files, Keys, Outbox, Store
from tests.faults.wrappers import Fault, Nth, faulty, verbs

PORTS = (Store, Outbox, Keys, Files, Blobs)
EVERY = [(port, verb) for port in PORTS for verb in verbs(port)]
NAMES = [f"{port.__name__}.{verb}" for port, verb in EVERY]


class Recorder:
    """Answers every verb, and remembers which was called."""

    def __init__(self, port: type) -> None:
        self.port, self.called = port, []

    def __getattr__(self, name: str) -> Any:
        async def answer(**_: Any) -> str:
            self.called.append(name)
            return "answer"

        async def stream(**_: Any) -> Any:
            self.called.append(name)
            yield "answer"

        return answer if inspect.iscoroutinefunction(vars(self.port)[name]) else stream


async def outcome(work: Any) -> str:
    """What a verb answers, streams its one answer, or Busy."""
    try:
        if inspect.isawaitable(work):
            return await work
        (answer,) = [answer async for answer in work]
        return answer
    except Busy:
        return "Busy"


@pytest.mark.parametrize(("port", "verb"), EVERY, ids=NAMES)
@pytest.mark.parametrize(
    ("fault", "said", "happened"),
    [
        (Fault.REFUSED, "Busy", 0),
        (Fault.LATE, "answer", 1),
        (Fault.DOUBTFUL, "Busy", 1),
    ],
)
async def test_every_verb_of_every_port_can_suffer(
    port: type, verb: str, fault: Fault, said: str, happened: int
) -> None:
    real = Recorder(port)
    wrapper = faulty(real, Nth(verb, fault), port)

    first, second = (
        await outcome(getattr(wrapper, verb)()),
        await outcome(getattr(wrapper, verb)()),
    )

    assert (first, second) == (said, "answer")
    assert real.called == [verb] * (happened + 1)


def test_a_port_has_the_verbs_we_think() -> None:
    assert {"add", "claim", "advance", "release"} <= set(verbs(Store))
    assert {"put", "open", "delete", "written_before"} <= set(verbs(Blobs))
