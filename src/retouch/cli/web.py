"""`retouch web`: the web process alone; workers run elsewhere on the same database and blobs."""

import argparse

from retouch.cli import setting_flags
from retouch.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    setting_flags(parser)


def run(_arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap.web import serve

    return serve(settings, with_worker=False)
