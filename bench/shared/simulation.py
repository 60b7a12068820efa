"""A simulated device: what passes cost, our engine on it, and threads that share it evenly."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.calibration import calibrate
from retouch.engine.engine import StepEngine
from retouch.engine.families.toy import ToyFamily, ToySession
from retouch.engine.scheduler import Policy
from retouch.ports import Job, Plan
from retouch.testing import FakeClock
from shared.arrivals import Latencies, Request, drive

DIFFUSERS_COST = {"small": 1.21, "medium": 1.13, "large": 1.14}
"""How much longer diffusers takes for an edit of each kind, in float32."""


class SimClock(FakeClock):
    """Time that passes when the device works, from 0 so that it adds up exactly."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def skip_to(self, at_s: float) -> None:
        """Leap to a second."""
        self.advance(max(0.0, at_s - self.monotonic()))


class SimFamily(ToyFamily):
    """The toy with a device's costs: seconds for a pass, a bit more to open and to decode.

    A pass costs a fixed part, and for each picture a part that grows with its tokens (linears) and
    one with their square (attention); fitted to the bundled weights on a processor core.
    """

    PASS_S, TOKEN_S, SQUARE_S, OPEN_S, PIXEL_S = 0.004, 1.6e-4, 7.4e-8, 0.01, 6e-8

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._time = clock

    def cost(self, plan: Plan) -> float:
        """Seconds of one step, without the fixed part."""
        return self.TOKEN_S * plan.tokens + self.SQUARE_S * plan.tokens**2

    def open(self, plan: Plan, edit: Edit, images: Sequence[object]) -> ToySession:
        """Takes its time."""
        self._time.advance(self.OPEN_S)
        return super().open(plan, edit, ())

    def pass_s(self, plans: Iterable[Plan]) -> float:
        """Seconds of one step of these together."""
        return self.PASS_S + sum(self.cost(plan) for plan in plans)

    def step(self, sessions: Sequence[ToySession]) -> None:
        """Takes its time."""
        self._time.advance(self.pass_s(session.plan for session in sessions))
        super().step(sessions)

    def close(self, session: ToySession) -> Picture:
        """Takes its time."""
        size = session.plan.size
        self._time.advance(self.PIXEL_S * size.width * size.height)
        return super().close(session)

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """The edit with one reference of its own size."""
        return super().plan(edit, [edit.size] if edit.size else images, seed)

    def service_s(self, request: Request) -> float:
        """Seconds of such a request alone."""
        plan = self.plan(request.edit, (), 0)
        pixels = plan.size.width * plan.size.height
        return self.OPEN_S + plan.steps * self.pass_s([plan]) + self.PIXEL_S * pixels


class WideFamily(SimFamily):
    """A device for which a few small pictures are not enough: no pass is shorter than `LEAST_S`."""

    LEAST_S = 0.12

    def pass_s(self, plans: Iterable[Plan]) -> float:
        """Seconds of one step of these together."""
        return max(self.LEAST_S, super().pass_s(plans))


def simulated_engine(family: SimFamily, clock: SimClock, max_jobs: int, **rules: Any) -> StepEngine:
    """As a worker builds it: measured first. `rules` are some of its policy's."""
    learned = calibrate(family, clock)
    budget = learned.token_budget or Policy().token_budget
    policy = replace(Policy(token_budget=budget), **rules)
    return StepEngine(family, clock=clock, max_jobs=max_jobs, policy=policy, pace=learned.pace)


def simulated(
    requests: Sequence[Request],
    max_jobs: int,
    device: type[SimFamily] = SimFamily,
    **rules: Any,
) -> Latencies:
    """Our engine with room for so many jobs; with 1 it is one at a time, oldest first."""
    clock = SimClock()
    engine = simulated_engine(device(clock), clock, max_jobs, **rules)
    began = clock.monotonic()
    later = [Request(it.id, it.kind, began + it.at_s, it.edit) for it in requests]
    return drive(engine, later, clock, lambda it: Job(it.id, it.edit, (), owner=it.id))


def shared_evenly(requests: Sequence[Request], service_s: Callable[[Request], float]) -> Latencies:
    """A thread for each: all that are there get on at the same speed."""
    coming = deque(requests)
    left: dict[str, float] = {}
    arrived = {request.id: request.at_s for request in requests}
    latencies: dict[str, float] = {}
    now = 0.0
    while coming or left:
        first = min(left, key=lambda id: left[id], default=None)
        ends_at = now + left[first] * len(left) if first else float("inf")
        until = min(ends_at, coming[0].at_s if coming else float("inf"))
        each_s = (until - now) / len(left) if left else 0.0
        left = {id: rest - each_s for id, rest in left.items()}
        now = until
        if first and until == ends_at:
            del left[first]
            latencies[first] = now - arrived[first]
        while coming and coming[0].at_s <= now:
            request = coming.popleft()
            left[request.id] = service_s(request)
    return latencies
