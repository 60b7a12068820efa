"""`retouch keys`: create, list and revoke callers' credentials."""

import argparse
import asyncio
import re
import sys
import time

from retouch.cli import setting_flags
from retouch.cli.numbers import whole
from retouch.cli.table import moment, print_json, print_table
from retouch.domain.grant import ALL_SCOPES, UNITS_S, Grant, Rate, Scope
from retouch.domain.prediction import Kept
from retouch.ports import Key
from retouch.settings import Settings

FIELDS = (
    *("id", "name", "prefix", "scopes", "models", "limits", "keeps"),
    *("created", "expires", "revoked"),
)
KEPT = {
    Kept.INPUTS: "what was sent with a prediction",
    Kept.OUTPUTS: "what it made",
    Kept.RECORD: "all else of it",
}
_SPAN = re.compile(r"([1-9][0-9]{0,5})(s|min|h|d)")


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make a key and print it, once")
    create.add_argument("name", help="whose key it is, for the listing")
    _grant_arguments(create.add_argument_group("what it permits"))
    listing = verbs.add_parser("list", help="list keys, without their secrets")
    revoke = verbs.add_parser("revoke", help="make a key useless at once")
    revoke.add_argument("id", help="the key's id, or its name where no other has it")
    for verb in (create, listing, revoke):
        verb.add_argument("--json", action="store_true", help="print JSON")
        setting_flags(verb, "data", "database")


def _grant_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scope",
        action="append",
        type=_scope,
        metavar="SCOPE",
        help="read, write or operate; may be repeated [all]",
    )
    group.add_argument(
        "--model",
        action="append",
        default=[],
        help="a public name it may use, * for any part; may be repeated [all]",
    )
    group.add_argument("--expires-in", type=_seconds, metavar="SPAN", help="such as 12h or 30d")
    group.add_argument(
        "--max-in-flight", type=whole(1), metavar="N", help="most predictions that are not over"
    )
    group.add_argument("--rate", type=_rate, help="creates, such as 10/s or 600/min")
    for kept, what in KEPT.items():
        words = f"how long {what} is kept after its end, 0 for ever"
        group.add_argument(f"--keep-{kept}", type=_span, metavar="SPAN", help=words)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return asyncio.run(_run(arguments, settings))


async def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap.parts import open_keys

    is_new = not settings.database and not settings.data.is_dir()
    async with open_keys(settings, must_exist=arguments.verb != "create") as keys:
        match arguments.verb:
            case "create":
                key, secret = await keys.create(arguments.name, _grant(arguments))
                if arguments.json:
                    print_json({**_row(key), "key": secret})
                else:
                    print(f"{secret}\n\nThis is the only time it is shown. Its id is {key.id}.")
                if is_new:
                    words = f"It opens a server on the data folder {settings.data.absolute()}, new."
                    print(words, file=sys.stderr)
            case "list":
                rows = [_row(key) for key in await keys.list()]
                if arguments.json:
                    print_json(rows)
                else:
                    print_table(FIELDS, [[row[name] for name in FIELDS] for row in rows])
            case "revoke":
                revoked = await keys.revoke(arguments.id)
                if arguments.json:
                    print_json({"revoked": revoked})
                else:
                    print(f"revoked {revoked}")
    return 0


def _grant(arguments: argparse.Namespace) -> Grant:
    span_s = arguments.expires_in
    return Grant(
        scopes=frozenset(arguments.scope or ALL_SCOPES),
        expires_at=None if span_s is None else time.time() + span_s,
        models=tuple(arguments.model),
        max_in_flight=arguments.max_in_flight,
        rate=arguments.rate,
        keep_inputs_s=arguments.keep_inputs,
        keep_outputs_s=arguments.keep_outputs,
        keep_record_s=arguments.keep_record,
    )


def _row(key: Key) -> dict[str, str]:
    grant = key.grant
    limits = (
        f"{grant.max_in_flight} in flight" if grant.max_in_flight else "",
        str(grant.rate or ""),
    )
    return {
        "id": key.id,
        "name": key.name,
        "prefix": f"rt_{key.prefix}_...",
        "scopes": "all" if grant.scopes == ALL_SCOPES else " ".join(sorted(grant.scopes)),
        "models": " ".join(grant.models) or "all",
        "limits": ", ".join(filter(None, limits)) or "-",
        "keeps": ", ".join(f"{kept} {_spelt(s)}" for kept, s in grant.keep_s.items()) or "-",
        "created": moment(key.created_at),
        "expires": moment(grant.expires_at),
        "revoked": moment(key.revoked_at),
    }


def _scope(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        known = ", ".join(Scope)
        raise argparse.ArgumentTypeError(f"must be one of {known}, not {text!r}") from None


def _seconds(text: str) -> float:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a number of s, min, h or d, not {text!r}")
    return int(found[1]) * UNITS_S[found[2]]


def _span(text: str) -> float:
    if text != "0" and _SPAN.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"must be a number of s, min, h or d, or 0, not {text!r}")
    return 0 if text == "0" else _seconds(text)


def _spelt(span_s: float) -> str:
    """A span as it was given, in the largest unit that divides it."""
    if not span_s:
        return "for ever"
    unit = next(name for name in reversed(UNITS_S) if span_s % UNITS_S[name] == 0)
    return f"{span_s / UNITS_S[unit]:g}{unit}"


def _rate(text: str) -> Rate:
    try:
        return Rate.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
