"""`retouch worker`: one worker, on the same database and blobs as some web process."""

import argparse

from retouch.cli import setting_flags
from retouch.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    setting_flags(parser)


def run(_arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap.worker import work

    return work(settings)
