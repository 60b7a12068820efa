"""The `retouch` command: reads the arguments, runs one command, says what went wrong plainly.

Every command lives in a module of its own, imported only when it runs, so `--help` stays quick.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from retouch import __version__
from retouch.domain.errors import Busy, RetouchError, cause_of
from retouch.settings import Settings, SettingsError, describe, let_idle_threads_sleep, load


class Command(Protocol):
    """The interface of each command's module."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its arguments."""

    def run(self, arguments: argparse.Namespace, settings: Settings) -> int:
        """Do it; the process's exit status."""


COMMANDS: tuple[tuple[str, str], ...] = (
    ("serve", "run the server: a web process and one worker"),
    ("web", "run the web process alone"),
    ("worker", "run one worker alone"),
    ("edit", "edit a picture here and now, without a server"),
    ("keys", "create, list and revoke callers' keys"),
    ("models", "list the public model names; pull weights and plan for them"),
    ("predictions", "list, show, cancel and delete predictions"),
    ("webhooks", "list what webhooks were told, and send one again"),
    ("backup", "copy everything a server keeps, while it serves"),
    ("doctor", "check this installation with one real edit"),
    ("settings", "list every setting, its default and its meaning"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(given[0] if given else "")
    arguments = parser.parse_args(given)
    if arguments.command is None:
        parser.print_help()
        return 2
    flags = {name: getattr(arguments, name, None) for name, _, _ in describe()}
    try:
        settings = load(flags)
        let_idle_threads_sleep()
        return _module(arguments.command).run(arguments, settings)
    except (RetouchError, SettingsError) as error:
        cause = cause_of(error) if isinstance(error, Busy) else ""
        print(f"retouch: {error}{cause and f' ({cause})'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        sys.stderr.close()
        return 141
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else error
        print(f"retouch: {said}", file=sys.stderr)
        return 1


def setting_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add `--name` for the named settings, or for all of them."""
    group = parser.add_argument_group("settings (also RETOUCH_NAME, or retouch.toml)")
    for name, default, meaning in describe():
        if not names or name in names:
            shown = f" [{default}]" if default else ""
            flag = f"--{name.replace('_', '-')}"
            group.add_argument(flag, dest=name, metavar="VALUE", help=meaning + shown)


def _parser(command: str) -> argparse.ArgumentParser:
    """The arguments. Only the command that runs has its own filled in: the rest cost imports."""
    parser = argparse.ArgumentParser(
        prog="retouch", description="Self-hosted image editing from text instructions."
    )
    parser.add_argument("--version", action="version", version=f"retouch {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS:
        child = commands.add_parser(name, help=summary, description=summary)
        if name == command:
            _module(name).arguments(child)
    return parser


def _module(command: str) -> Command:
    return cast("Command", import_module(f"retouch.cli.{command}"))
