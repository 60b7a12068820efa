"""`retouch webhooks`: what was told and how that went, and sending one again, for the operator."""

import argparse
import asyncio
from typing import Any

from retouch.cli import setting_flags
from retouch.cli.numbers import whole
from retouch.cli.table import bare, moment, print_json, print_table
from retouch.domain.errors import NotFound
from retouch.ports import Delivery, DeliveryState, Store
from retouch.settings import Settings

FIELDS = ("id", "state", "tries", "due", "to", "note")


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the newest deliveries")
    listing.add_argument("--limit", type=whole(1), default=20, help="how many [20]")
    replay = verbs.add_parser("replay", help="send one again now, under the same id")
    replay.add_argument("id", help="the delivery's id")
    for verb in (listing, replay):
        verb.add_argument("--json", action="store_true", help="print JSON")
        setting_flags(verb, "data", "database")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return asyncio.run(_run(arguments, settings))


async def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap.parts import open_store

    async with open_store(settings, must_exist=True) as store:
        match arguments.verb:
            case "list":
                found = await store.list_deliveries(limit=arguments.limit)
                rows = [await _row(store, delivery) for delivery in found]
                if arguments.json:
                    print_json(rows)
                else:
                    print_table(FIELDS, [[row[name] for name in FIELDS] for row in rows])
            case "replay":
                delivery = await store.replay(arguments.id)
                if delivery is None:
                    raise NotFound("delivery", arguments.id)
                if arguments.json:
                    print_json(await _row(store, delivery))
                else:
                    print(f"{delivery.id} is due now; a running server sends it")
    return 0


async def _row(store: Store, delivery: Delivery) -> dict[str, Any]:
    prediction = await store.get(delivery.prediction_id)
    url = prediction.webhook.url if prediction and prediction.webhook else ""
    waiting = delivery.state is DeliveryState.WAITING
    return {
        "id": delivery.id,
        "state": delivery.state.value,
        "tries": delivery.attempt,
        "due": moment(delivery.due_at if waiting else None),
        "to": bare(url),
        "note": delivery.note,
        "created": moment(delivery.created_at),
    }
