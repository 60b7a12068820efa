"""The engine on the configured weights, and one edit through it without a server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from retouch import logs
from retouch.bootstrap.parts import CLOCK
from retouch.bootstrap.weights import check_licence
from retouch.domain.edit import Edit, InlineImage, MaskImage
from retouch.domain.errors import BadInput, EngineFailed
from retouch.domain.failure import FailureKind
from retouch.domain.picture import Picture
from retouch.ports import Broken, Family, Finished, Job, Stepped
from retouch.settings import Settings, SettingsError

if TYPE_CHECKING:
    from retouch.engine.calibration import Calibration
    from retouch.engine.engine import StepEngine
    from retouch.images.decode import ImageLimits
    from retouch.images.masked import Masked

log = structlog.get_logger(__name__)


def check_engine(settings: Settings) -> None:
    """Raise WeightsError or SettingsError where `build_engine` would, as far as one can tell
    without torch: a server refuses then, rather than start a worker again and again.
    """
    from retouch.engine.families import check_weights
    from retouch.engine.families.source import Repo, source_of

    if settings.loras and not Path(settings.loras).is_dir():
        raise SettingsError(f"setting 'loras' is {settings.loras!r}: there is no such folder")
    if settings.transformer and not Path(settings.transformer).is_file():
        raise SettingsError(
            f"setting 'transformer' is {settings.transformer!r}: there is no such file"
        )
    if settings.weights == "toy":
        return
    if isinstance(source := source_of(settings.weights), Repo):
        check_licence(settings, source)
    if find_spec("torch") is None:
        raise SettingsError(
            "a worker needs torch; run in retouch's checkout: pip install '.[engine]'"
        )
    check_weights(settings.weights)


def build_engine(
    settings: Settings, measure: "Callable[[Family], Calibration] | None" = None
) -> "StepEngine":
    """The engine with its weights loaded; imports torch. Raises WeightsError and SettingsError.

    `measure` finds out how fast the device is; without it the engine is for a few edits: it learns
    that from its work, and nothing is compiled.
    """
    from retouch.engine.calibration import Calibration
    from retouch.engine.engine import StepEngine
    from retouch.engine.families import load_ahead, load_behind, load_family, load_memory
    from retouch.engine.memory import NoMemory
    from retouch.engine.scheduler import Policy

    check_engine(settings)
    family = load_family(
        settings.weights,
        device=settings.device,
        dtype=settings.dtype,
        transformer=Path(settings.transformer) if settings.transformer else None,
        quantisation=settings.quantisation,
        offload=settings.offload,
        loras=Path(settings.loras) if settings.loras else None,
        cache_bytes=settings.cache_bytes,
        fast_tolerance=settings.fast_tolerance,
        fast_likeness=settings.fast_likeness,
        compile_blocks="off" if measure is None else settings.compile_blocks,
    )
    memory = load_memory(settings.weights, device=settings.device) or NoMemory()
    learned = Calibration() if measure is None else measure(family)
    memory.trim()
    free_bytes = memory.free_bytes()
    policy = Policy(
        token_budget=settings.token_budget or learned.token_budget or Policy().token_budget,
        memory_bytes=settings.memory_bytes or (free_bytes and free_bytes * 9 // 10),
    )
    log.info("engine.ready", weights=family.name, policy=policy, pace_s=learned.pace.seconds)
    return StepEngine(
        family,
        clock=CLOCK,
        max_jobs=settings.max_jobs,
        policy=policy,
        pace=learned.pace,
        memory=memory,
        ahead=load_ahead(
            family,
            settings.open_ahead,
            device=settings.device,
            offload=settings.offload,
            cache_bytes=settings.cache_bytes,
        ),
        behind=load_behind(
            family, settings.open_ahead, device=settings.device, offload=settings.offload
        ),
    )


@dataclass(frozen=True, slots=True)
class Edited:
    """A finished picture file."""

    data: bytes
    width: int
    height: int
    logs: str


def edit_once(
    settings: Settings,
    edit: Edit,
    images: Sequence[Path],
    show: Callable[[int, int], None],
    mask: Path | None = None,
) -> Edited:
    """Make one edit without a server. A mask is of the first picture.

    Raises BadInput, InvalidEdit, EngineFailed, WeightsError.
    """
    from retouch.images.encode import encode

    logs.configure("warning", settings.log_format)
    pictures = [_read_picture(path, settings) for path in images]
    masked = None
    if mask is not None:
        edit, masked = _masked(edit, pictures[0], mask, settings)
        pictures[0] = masked.reference
    picture, said = run_edit(build_engine(settings), edit, tuple(pictures), show)
    if masked is not None:
        picture = masked.restored(picture)
    data = encode(picture, edit.output_format, edit.output_quality)
    return Edited(data, picture.width, picture.height, said)


def run_edit(
    engine: "StepEngine",
    edit: Edit,
    images: tuple[Picture, ...],
    show: Callable[[int, int], None] = lambda _step, _steps: None,
) -> tuple[Picture, str]:
    """Drive an engine through one edit: its first picture and its logs. Raises EngineFailed."""
    engine.add(Job("edit", edit, images))
    while not engine.idle:
        for event in engine.step():
            match event:
                case Stepped(_, progress):
                    show(progress.step, progress.steps)
                case Finished(_, pictures, _, said):
                    return pictures[0], said
                case Broken(_, failure, _):
                    raise EngineFailed(failure.error)
    raise EngineFailed("The engine stopped without a result.")


def _read_picture(path: Path, settings: Settings) -> Picture:
    from retouch.images.decode import decode_bytes

    return decode_bytes(_read(path), _limits(settings))


def _masked(edit: Edit, picture: Picture, path: Path, settings: Settings) -> "tuple[Edit, Masked]":
    """The edit with its mask, and the picture under it."""
    from retouch.images.decode import decode_mask
    from retouch.images.masked import Masked

    data = _read(path)
    edit = replace(edit, mask=MaskImage(InlineImage(data), "transparent"))
    mask = decode_mask(data, "transparent", _limits(settings))
    return edit, Masked.of(picture, mask, edit)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        words = f"{path} cannot be read: {error.strerror}"
        raise BadInput(FailureKind.UNFETCHED, words) from None


def _limits(settings: Settings) -> "ImageLimits":
    from retouch.images.decode import ImageLimits

    return ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
