"""`retouch keys`: create, list and revoke callers' credentials."""

import argparse
import asyncio

from retouch.cli import setting_flags
from retouch.cli.table import moment, print_json, print_table
from retouch.domain.errors import NotFound
from retouch.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make a key and print it, once")
    create.add_argument("name", help="whose key it is, for the listing")
    listing = verbs.add_parser("list", help="list keys, without their secrets")
    revoke = verbs.add_parser("revoke", help="make a key useless at once")
    revoke.add_argument("id", help="the key's id or its name")
    for verb in (create, listing, revoke):
        verb.add_argument("--json", action="store_true", help="print JSON")
        setting_flags(verb, "data", "database")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return asyncio.run(_run(arguments, settings))


async def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap import open_keys

    async with open_keys(settings) as keys:
        match arguments.verb:
            case "create":
                key, secret = await keys.create(arguments.name)
                if arguments.json:
                    print_json({"id": key.id, "name": key.name, "key": secret})
                else:
                    print(f"{secret}\n\nThis is the only time it is shown. Its id is {key.id}.")
            case "list":
                rows = await keys.list()
                fields = ("id", "name", "prefix", "created", "revoked")
                cells = [(k.id, k.name, f"rt_{k.prefix}_...", moment(k.created_at),
                          moment(k.revoked_at)) for k in rows]  # fmt: skip
                if arguments.json:
                    print_json([dict(zip(fields, row, strict=True)) for row in cells])
                else:
                    print_table(fields, cells)
            case "revoke":
                if not await keys.revoke(arguments.id):
                    raise NotFound("key", arguments.id)
                print(f"revoked {arguments.id}")
    return 0
