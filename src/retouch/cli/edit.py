"""`retouch edit`: one edit in this process, no server, with a progress bar on a terminal."""

import argparse
import sys
import time
from pathlib import Path

from retouch.cli import setting_flags
from retouch.cli.numbers import whole
from retouch.domain.edit import MAX_SEED, AspectRatio, Edit, OutputFormat
from retouch.domain.errors import InvalidEdit, Violation
from retouch.settings import Settings

FORMATS = {
    ".png": OutputFormat.PNG,
    ".jpg": OutputFormat.JPEG,
    ".jpeg": OutputFormat.JPEG,
    ".webp": OutputFormat.WEBP,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", help="the instruction, in words")
    parser.add_argument(
        "-i",
        "--image",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="a picture to edit; repeat for several",
    )
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="of the first picture's size; its transparent pixels say what is to change [all]",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("out.png"),
        metavar="FILE",
        help="where to write the result, .png, .jpg or .webp [out.png]",
    )
    parser.add_argument("--aspect-ratio", metavar="W:H", help="shape of the result [the picture's]")
    parser.add_argument(
        "--seed", type=whole(0, MAX_SEED), help="repeat a result [a random one, printed]"
    )
    parser.add_argument("--steps", type=int, help="denoising steps [the weights' own]")
    parser.add_argument("--guidance", type=float, help="guidance [the weights' own]")
    parser.add_argument(
        "--quality", type=whole(1, 100), default=90, help="of jpg and webp, 1 to 100 [90]"
    )
    setting_flags(parser, "weights", "transformer", "device", "dtype", "quantisation", "offload")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    from retouch.bootstrap.engine import edit_once

    started = time.monotonic()
    images, mask = arguments.image, arguments.mask
    done = edit_once(settings, _edit(arguments), images, _show_progress, mask)
    arguments.out.write_bytes(done.data)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(done.logs.splitlines()[0], file=sys.stderr)
    print(f"{arguments.out}: {done.width}x{done.height}, {time.monotonic() - started:.1f} s")
    return 0


def _edit(arguments: argparse.Namespace) -> Edit:
    form = FORMATS.get(arguments.out.suffix.lower())
    if form is None:
        raise _invalid("--out", f"must end in {', '.join(FORMATS)}, not {arguments.out.suffix!r}")
    if not arguments.out.parent.is_dir():  # to be known before the work and not after it
        raise _invalid("--out", f"there is no folder {arguments.out.parent}")
    if arguments.mask and not arguments.image:
        raise _invalid("--mask", "it needs an --image that it is of")
    return Edit(
        prompt=arguments.prompt,
        aspect_ratio=_ratio(arguments.aspect_ratio),
        output_format=form,
        output_quality=arguments.quality,
        seed=arguments.seed,
        steps=arguments.steps,
        guidance=arguments.guidance,
    )


def _ratio(text: str | None) -> AspectRatio | None:
    try:
        return AspectRatio.parse(text) if text else None
    except ValueError:
        raise _invalid("--aspect-ratio", f"must look like 16:9, not {text!r}") from None


def _invalid(field: str, description: str) -> InvalidEdit:
    return InvalidEdit((Violation(field, "format", description),))


def _show_progress(step: int, steps: int) -> None:
    if not sys.stderr.isatty():
        return
    filled = round(30 * step / steps)
    bar = "█" * filled + " " * (30 - filled)
    print(f"\r{100 * step // steps:3d}%|{bar}| {step}/{steps}", end="", file=sys.stderr, flush=True)
