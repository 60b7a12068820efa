"""Sends webhooks: claims what is due, has the protocol word and sign it, and posts it.

Runs beside the web process and never on an edit's way: a receiver that is down or slow costs its
own deliveries only. What a crash interrupts is due again when its lease lapses, under the same id.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import structlog

from retouch.domain.errors import Busy
from retouch.domain.prediction import Prediction, Status, Webhook
from retouch.ports import (
    UNTRACED,
    Clock,
    Courier,
    Delivered,
    Delivery,
    GiveUp,
    Outbox,
    Outcome,
    Postpone,
    Receipt,
    Retry,
    Store,
    Tracer,
    Undelivered,
)
from retouch.protocols.base import Call, Notice, Notification, Signer
from retouch.protocols.dialect import Dialect
from retouch.service.links import Views

log = structlog.get_logger(__name__)

SCHEDULE_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
"""The wait after each failed try to tell an end; after the last there is no other."""

JITTER = 0.1
"""The share of a wait that chance may add, so that what failed together does not return so."""

LEASE_S = 90.0
"""How long a claimed delivery is nobody else's: longer than a try and its settling take."""

SETTLE_TRIES = 30
"""How often a try's end is written, `poll_s` apart; then the lease lapses and it is sent again."""

MAX_RETRY_AFTER_S = 36_000.0
GONE = 410


class Deliveries:
    """The sender. Any number of processes may run one beside each other."""

    def __init__(
        self,
        *,
        store: Store,
        outbox: Outbox,
        dialects: Sequence[Dialect],
        views: Views,
        signer: Signer,
        courier: Courier,
        clock: Clock,
        random: Callable[[], float],
        name: str = "",
        on_tried: Callable[[Outcome], None] = lambda _: None,
        tracer: Tracer = UNTRACED,
        at_once: int = 64,
        per_host: int = 8,
        poll_s: float = 1.0,
        pace_s: float = 0.05,
        grace_s: float = 5.0,
    ) -> None:
        """`name` is this sender's, the same after a restart, or empty. `random` draws from 0 to 1.
        `on_tried` is told how each try ended, once that is recorded.

        At most `at_once` are being sent, `per_host` to one host. Two looks for what is due are
        `pace_s` apart: on a busy server every other moment something changes.

        `grace_s` is what those being sent get when the sender stops.
        """
        self._store, self._outbox = store, outbox
        self._dialects = {dialect.name: dialect for dialect in dialects}
        self._views, self._signer, self._courier = views, signer, courier
        self._clock, self._random, self._name = clock, random, name
        self._on_tried, self._tracer = on_tried, tracer
        self._at_once, self._per_host = at_once, per_host
        self._poll_s, self._pace_s, self._grace_s = poll_s, pace_s, grace_s
        self._busy: Counter[str] = Counter()
        self._sending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="webhooks")

    async def stop(self) -> None:
        """Claim nothing more, and give what is being sent a moment. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=self._grace_s)
            for sending in late:
                sending.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def turn(self) -> int:
        """Begin to send the due deliveries that there is room for; returns their number."""
        room = self._at_once - len(self._sending)
        if room <= 0:
            return 0
        due = await self._outbox.deliveries(limit=room, lease_s=LEASE_S, sender=self._name)
        for delivery in due:
            task = asyncio.create_task(self._send(delivery), name=f"webhook {delivery.id}")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return len(due)

    async def drain(self) -> None:
        """Return once nothing is being sent."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _run(self) -> None:
        await self._resume()
        while True:
            # Listening starts before looking, so a change in between is not missed.
            changed = asyncio.ensure_future(self._store.changed(self._poll_s))
            rested = asyncio.ensure_future(asyncio.sleep(self._pace_s))
            try:
                await self.turn()
                await changed
                await rested
            except Exception:
                log.exception("webhooks.turn_failed")
                await asyncio.sleep(self._poll_s)
            finally:
                changed.cancel()
                rested.cancel()

    async def _resume(self) -> None:
        """Take up what a predecessor of this name was sending when it died."""
        try:
            if self._name and (begun := await self._outbox.release_deliveries(self._name)):
                log.info("webhooks.resumed", begun=begun)
        except Exception:
            log.exception("webhooks.resume_failed")  # they are due as their leases lapse

    # -- one delivery ----------------------------------------------------------------------------

    async def _send(self, delivery: Delivery) -> None:
        try:
            outcome = await self._tried(delivery)
        except Busy:  # the store is away, and nothing was sent
            outcome = Postpone(self._later(SCHEDULE_S[0]))
        except Exception:
            log.exception("webhook.error", delivery=delivery.id)  # due again as its lease lapses
            return
        await self._settle(delivery, outcome)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Record it, again while the store is away: what was told is not to be told twice."""
        for _ in range(SETTLE_TRIES):
            try:
                await self._outbox.settle(delivery, outcome)
            except Exception:
                log.exception("webhook.settle_failed", delivery=delivery.id)
                await asyncio.sleep(self._poll_s)
            else:
                self._on_tried(outcome)
                _tell(delivery, outcome)
                return

    async def _tried(self, delivery: Delivery) -> Outcome:
        prediction = await self._store.get(delivery.prediction_id)
        if prediction is None or prediction.webhook is None:
            return GiveUp("its prediction is no longer kept")
        if delivery.attempt > len(SCHEDULE_S) + 1:
            return GiveUp("the sender died at every try")
        host = _host(prediction.webhook.url)
        if self._busy[host] >= self._per_host:
            return Postpone(self._later(SCHEDULE_S[0]))
        self._busy[host] += 1
        span = self._tracer.begin(
            "webhook",
            prediction.trace,
            prediction=prediction.id,
            tells=delivery.tells.value,
            attempt=delivery.attempt,
        )
        traced = {"traceparent": span.context} if span.context else {}
        try:
            message = self._worded(delivery, prediction, prediction.webhook)
            receipt = await self._courier.post(
                prediction.webhook.url, message.body, {**traced, **message.headers}
            )
            span.end(status=receipt.status)
        except Undelivered as error:
            span.end(error=str(error))
            return self._failed(delivery, str(error))
        finally:
            self._busy[host] -= 1
            self._busy += Counter()  # forgets the hosts nothing is being sent to
        return self._judged(delivery, receipt)

    def _worded(self, delivery: Delivery, prediction: Prediction, webhook: Webhook) -> Notification:
        dialect = self._dialects.get(prediction.protocol)
        if dialect is None:
            raise Undelivered(f"the protocol {prediction.protocol!r} is not served here")
        call = Call(method="POST", path="", origin=webhook.origin, mount=webhook.mount)
        view = self._views.of(_as_told(prediction, delivery), webhook.origin)
        notice = Notice(
            id=delivery.id, at=self._clock.now(), signer=self._signer, secret=webhook.secret
        )
        return dialect.notification(call, view, notice)

    def _judged(self, delivery: Delivery, receipt: Receipt) -> Outcome:
        said = f"it answered {receipt.status}"
        if 200 <= receipt.status < 300:
            return Delivered(said)
        if receipt.status == GONE:
            return GiveUp(said)
        return self._failed(delivery, said, receipt.retry_after_s or 0.0)

    def _failed(self, delivery: Delivery, why: str, at_least_s: float = 0.0) -> Outcome:
        """Only the message of an end is tried again; that of a start would come too late."""
        if not delivery.tells.is_final or delivery.attempt > len(SCHEDULE_S):
            return GiveUp(why)
        wait_s = max(SCHEDULE_S[delivery.attempt - 1], min(at_least_s, MAX_RETRY_AFTER_S))
        return Retry(self._later(wait_s), why)

    def _later(self, wait_s: float) -> float:
        return wait_s * (1 + JITTER * self._random())


def _as_told(prediction: Prediction, delivery: Delivery) -> Prediction:
    """The prediction as it was when it made the move, whatever happened since."""
    if delivery.tells is not Status.RUNNING:
        return prediction
    return replace(
        prediction,
        status=Status.RUNNING,
        progress=None,
        logs="",
        outputs=(),
        failure=None,
        metrics={},
        started_at=prediction.started_at or delivery.created_at,
        completed_at=None,
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _tell(delivery: Delivery, outcome: Outcome) -> None:
    """One line per try. No URL: it may hold a secret of the receiver's."""
    facts = {
        "delivery": delivery.id,
        "prediction": delivery.prediction_id,
        "attempt": delivery.attempt,
    }
    match outcome:
        case Delivered():
            log.info("webhook.delivered", **facts)
        case Retry(in_s, note):
            log.warning("webhook.failed", **facts, reason=note, again_in_s=round(in_s))
        case GiveUp(note):
            log.warning("webhook.given_up", **facts, reason=note)
