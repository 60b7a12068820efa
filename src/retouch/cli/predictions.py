"""`retouch predictions`: list, show, cancel and delete, for the operator: everybody's."""

import argparse
import asyncio
from dataclasses import asdict
from typing import Any

from retouch.cli import setting_flags
from retouch.cli.numbers import whole
from retouch.cli.table import bare, moment, print_json, print_table
from retouch.domain.errors import NotFound
from retouch.domain.prediction import Cancel, Prediction
from retouch.ports import Store
from retouch.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the newest predictions")
    listing.add_argument("--limit", type=whole(1), default=20, help="how many [20]")
    show = verbs.add_parser("show", help="everything known of one prediction")
    cancel = verbs.add_parser("cancel", help="end one, queued or running")
    delete = verbs.add_parser("delete", help="end one if need be, and remove all but its id")
    for verb in (show, cancel, delete):
        verb.add_argument("id", help="the prediction's id")
    for verb in (listing, show, cancel, delete):
        verb.add_argument("--json", action="store_true", help="print JSON")
        setting_flags(verb, "data", "database", "blobs")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return asyncio.run(_run(arguments, settings))


async def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap.parts import open_eraser, open_store

    async with open_store(settings, must_exist=True) as store:
        match arguments.verb:
            case "list":
                _print_list(await store.page(None, limit=arguments.limit), arguments.json)
            case "show":
                await _show(store, await _find(store, arguments.id), arguments.json)
            case "cancel":
                found = await _find(store, arguments.id)
                moved = await store.advance(found.id, Cancel("operator"))
                if arguments.json:
                    print_json({"id": found.id, "canceled": moved is not None})
                else:
                    print(f"{found.id} {'canceled' if moved else f'is already {found.status}'}")
            case "delete":
                gone = await open_eraser(settings, store).delete(arguments.id, None)
                if arguments.json:
                    print_json({"id": arguments.id, "deleted": gone})
                else:
                    print(f"{arguments.id} {'deleted' if gone else 'was deleted before'}")
    return 0


async def _find(store: Store, id: str) -> Prediction:
    found = await store.get(id)
    if found is None:
        raise NotFound("prediction", id)
    return found


def _print_list(predictions: Any, as_json: bool) -> None:
    if as_json:
        print_json([_plain(prediction) for prediction in predictions])
        return
    print_table(
        ("id", "status", "model", "owner", "created", "attempt"),
        [(p.id, p.status, p.model, p.owner, moment(p.created_at), p.attempt) for p in predictions],
    )


async def _show(store: Store, prediction: Prediction, as_json: bool) -> None:
    events = [
        {"seq": event.seq, "name": event.name, "at": moment(event.at), **event.data}
        for event in await store.events(prediction.id)
    ]
    if as_json:
        print_json({**_plain(prediction), "events": events})
        return
    print_table(("field", "value"), [(k, v) for k, v in _plain(prediction).items() if v])
    print()
    print_table(("seq", "event", "at"), [(e["seq"], e["name"], e["at"]) for e in events])


def _plain(prediction: Prediction) -> dict[str, Any]:
    fields = asdict(prediction)
    fields["edit"] = repr(prediction.edit)
    failure = prediction.failure
    fields["failure"] = failure and failure.kind.value
    fields["error"] = prediction.error
    fields["failed_picture"] = failure and failure.picture
    fields["webhook"] = None if prediction.webhook is None else bare(prediction.webhook.url)
    return fields
