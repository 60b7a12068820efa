"""`retouch doctor`: is this installation able to edit a picture? Finds out by editing one."""

import argparse
import asyncio
import platform
import secrets
import shutil
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

from retouch import __version__
from retouch.cli import setting_flags
from retouch.cli.table import print_json
from retouch.domain.edit import Edit
from retouch.domain.errors import Busy, RetouchError, cause_of
from retouch.domain.picture import Picture
from retouch.settings import Settings, SettingsError

GIGABYTE = 1e9
STRICT = 0
"""The safety tolerance at which every check looks."""

WEIGHTS = ("weights", "transformer", "device", "dtype", "quantisation", "offload")
SAFETY = ("safety_words", "safety_classifier")
ENGINE_PACKAGES = ("torch", "diffusers", "transformers", "safetensors")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    setting_flags(parser, "data", "database", "blobs", *WEIGHTS, *SAFETY)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch import logs

    logs.configure("warning", settings.log_format)
    checks: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("system", _system),
        ("engine", _engine),
        ("data", _data),
        ("database", _database),
        ("pictures", _pictures),
        ("edit", _edit),
        ("safety", _safety),
    )
    results = []
    for name, check in checks:
        try:
            is_ok, found = True, check(settings)
        except (RetouchError, SettingsError, OSError, ImportError) as error:
            cause = cause_of(error) if isinstance(error, Busy) else ""
            is_ok, found = False, f"{error}{cause and f' ({cause})'}"
        results.append({"check": name, "ok": is_ok, "found": found})
        if not arguments.json:
            print(f"{'ok  ' if is_ok else 'FAIL'}  {name:<9} {found}", flush=True)
    if arguments.json:
        print_json(results)
    return 0 if all(result["ok"] for result in results) else 1


def _system(_settings: Settings) -> str:
    return f"retouch {__version__}, Python {platform.python_version()}, {platform.platform()}"


def _engine(_settings: Settings) -> str:
    try:
        return ", ".join(f"{name} {version(name)}" for name in ENGINE_PACKAGES)
    except PackageNotFoundError as error:
        raise ImportError(
            f"{error.name} is missing; run in retouch's checkout: pip install '.[engine]'"
        ) from None


def _data(settings: Settings) -> str:
    from retouch.folder import DataFolder

    folder = DataFolder(settings.data)
    folder.node()
    free = shutil.disk_usage(folder.path).free / GIGABYTE
    return f"{folder.path.absolute()} is writable, {free:.1f} GB free"


def _database(settings: Settings) -> str:
    return asyncio.run(_depth(settings))


async def _depth(settings: Settings) -> str:
    from retouch.bootstrap.parts import open_store

    async with open_store(settings) as store:
        depth = await store.depth()
    kind = settings.database_url.partition(":")[0]
    return f"{kind} answers; {depth.get('queued', 0)} queued, {depth.get('running', 0)} running"


def _pictures(settings: Settings) -> str:
    from retouch.bootstrap.parts import open_blobs

    async def keep_one() -> None:
        blobs, key = open_blobs(settings), f"doctor/{secrets.token_hex(8)}"
        await blobs.put(key, b"a picture")
        await blobs.delete(key)

    asyncio.run(keep_one())
    place = urlsplit(settings.blobs_url)  # whose other parts may hold a credential
    return f"{place.scheme}://{place.hostname or ''}{place.path} takes them"


def _edit(settings: Settings) -> str:
    from retouch.bootstrap.engine import build_engine, run_edit

    started = time.monotonic()
    engine = build_engine(settings)
    loaded = time.monotonic()
    picture = run_edit(engine, Edit(prompt="make it black and white", seed=1), (_gradient(),))[0]
    ended = time.monotonic()
    name = engine.family.name
    return (
        f"{name} loaded in {loaded - started:.1f} s, "
        f"edited {picture.width}x{picture.height} in {ended - loaded:.1f} s"
    )


def _safety(settings: Settings) -> str:
    from retouch.bootstrap.worker import build_safety

    safety = build_safety(settings)
    safety.check_prompt("make it black and white", STRICT)
    asyncio.run(safety.check_inputs([_gradient()], STRICT))
    return safety.summary(STRICT).strip() or "no check is configured: nothing is screened"


def _gradient(side: int = 256) -> Picture:
    rows = b"".join(bytes((x, y, 128)) for y in range(side) for x in range(side))
    return Picture(side, side, rows)
