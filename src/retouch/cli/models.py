"""`retouch models`: the public names and what serves them; weights to pull, and what they take."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retouch.cli import setting_flags
from retouch.cli.table import print_json, print_table
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.net.hub import Pulled


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    setting_flags(parser, "weights")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    known = actions.add_parser("known", help="list published weights that are known to run")
    known.add_argument("--json", action="store_true", help="print JSON")
    pull = actions.add_parser("pull", help="download weights into the Hugging Face cache")
    pull.add_argument("name", metavar="WEIGHTS", help="a known name, or OWNER/NAME[@REVISION]")
    pull.add_argument(
        "--accept-licence", action="store_true", help="acknowledge a licence that binds deployers"
    )
    setting_flags(pull, "data")
    plan = actions.add_parser("plan", help="say what weights take, before loading them")
    plan.add_argument("name", metavar="WEIGHTS", nargs="?", help="as for pull, or a folder")
    plan.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    actions = {None: _list, "known": _known, "pull": _pull, "plan": _plan}
    actions[arguments.action](arguments, settings)
    return 0


def _list(arguments: argparse.Namespace, settings: Settings) -> None:
    from retouch.bootstrap.parts import build_catalogue

    entries = build_catalogue(settings).entries
    rows = [(entry.model.name, entry.protocol, entry.weights) for entry in entries]
    _print(arguments, ("model", "protocol", "weights"), rows)


def _known(arguments: argparse.Namespace, _settings: Settings) -> None:
    from retouch.engine.families.source import KNOWN

    rows = [
        (name, it.repo, it.family, it.licence, "yes" if it.must_accept else "no")
        for name, it in KNOWN.items()
    ]
    _print(arguments, ("name", "repository", "family", "licence", "accept"), rows)


def _pull(arguments: argparse.Namespace, settings: Settings) -> None:
    from retouch.bootstrap.weights import pull_weights

    lines = PullLines()
    folder = pull_weights(
        settings, arguments.name, accept_licence=arguments.accept_licence, show=lines.show
    )
    print(f"{arguments.name} is at {folder}")


def _plan(arguments: argparse.Namespace, settings: Settings) -> None:
    from retouch.bootstrap.weights import plan_weights
    from retouch.net.hub import gigabytes

    place, needs = plan_weights(arguments.name or settings.weights)
    columns = ("parameters", "file_bytes", "wide_bytes", "narrow_bytes")
    rows = [(it.component, *(getattr(it, name) for name in columns)) for it in needs]
    rows.append(("total", *(sum(row[n] for row in rows) for n in range(1, 5))))
    if arguments.json:
        print_json([dict(zip(("component", *columns), row, strict=True)) for row in rows])
        return
    print(place)
    print_table(
        ("component", "parameters", "on disk", "in float32", "in bfloat16"),
        [(row[0], f"{row[1]:,}", *(gigabytes(count) for count in row[2:])) for row in rows],
    )


def _print(
    arguments: argparse.Namespace, fields: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> None:
    if arguments.json:
        print_json([dict(zip(fields, row, strict=True)) for row in rows])
    else:
        print_table(fields, rows)


class PullLines:
    """A line for every twentieth of a download, fit for a terminal and for a log."""

    def __init__(self) -> None:
        self._said = -1

    def show(self, pulled: "Pulled") -> None:
        """Print a line when another twentieth is here."""
        from retouch.net.hub import gigabytes

        part = 20 * pulled.done_bytes // max(1, pulled.total_bytes)
        if part > self._said:
            self._said = part
            print(
                f"{5 * part:3d} %  {gigabytes(pulled.done_bytes)} of "
                f"{gigabytes(pulled.total_bytes)}, {pulled.done_files} of {pulled.total_files} "
                f"files  {pulled.path}",
                file=sys.stderr,
                flush=True,
            )
