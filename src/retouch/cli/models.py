"""`retouch models`: every public model name and the weights that really serve it."""

import argparse

from retouch.cli import setting_flags
from retouch.cli.table import print_json, print_table
from retouch.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    setting_flags(parser, "weights")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap import build_catalogue

    fields = ("model", "protocol", "weights")
    rows = [
        (entry.model.name, entry.protocol, entry.weights)
        for entry in build_catalogue(settings).entries
    ]
    if arguments.json:
        print_json([dict(zip(fields, row, strict=True)) for row in rows])
    else:
        print_table(fields, rows)
    return 0
