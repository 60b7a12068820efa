"""`retouch backup`: copy everything a server keeps, while it serves."""

import argparse
import asyncio
from pathlib import Path

from retouch.cli import setting_flags
from retouch.cli.table import print_json
from retouch.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", type=Path, metavar="DEST", help="a folder that does not exist yet")
    parser.add_argument("--json", action="store_true", help="print JSON")
    setting_flags(parser, "data", "database", "blobs", "secret")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap.backup import back_up

    made = asyncio.run(back_up(settings, arguments.to))
    if arguments.json:
        print_json({"to": str(made.to), "database_bytes": made.database_bytes,
                    "files": made.files, "files_bytes": made.files_bytes})  # fmt: skip
    else:
        print(
            f"{made.to} holds a database of {made.database_bytes} bytes, {made.files} files of "
            f"{made.files_bytes} bytes, and the secrets that sign links.\n"
            f"Serve it with: retouch serve --data {made.to}"
        )
    return 0
