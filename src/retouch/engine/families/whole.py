"""Any other editing pipeline of diffusers, driven whole.

A pipeline owns its loop, so each picture runs on a thread of its own with a pipeline object of its
own over the shared weights, and stands still at the end of every denoising step until the engine
asks for the next one: one thread works at a time. Requests are stepped, watched and cancelled as
those of other families are, within one step, but never share a forward pass.
"""

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any
from weakref import finalize

import torch
from PIL import Image

from retouch.domain.edit import AspectRatio, Edit, Size
from retouch.domain.errors import EngineFailed, InvalidEdit, Violation
from retouch.domain.geometry import MULTIPLE, target_size
from retouch.domain.picture import Picture
from retouch.engine.families import WHOLE, DType, Options, WeightsError, read_json
from retouch.engine.families.bounds import violations
from retouch.engine.families.checkpoint import without_progress_bars
from retouch.engine.families.device import check_device, finish, guarded
from retouch.engine.families.quantised import loading_options
from retouch.engine.families.recipe import Recipe, read_recipe
from retouch.ports import Plan

LIBRARIES = frozenset({"diffusers", "transformers"})
LARGE = ("transformer", "text_encoder")
"""Components that are worth rounding."""

DEFAULTS: Mapping[str, Any] = {"steps": 40, "guidance": 4.0}


class Stopped(BaseException):
    """Nobody wants the picture any more; no `except Exception` of a pipeline may catch it."""


class Run:
    """A pipeline's call on a thread, which moves only while somebody waits for it."""

    def __init__(self, pipeline: Any, arguments: Mapping[str, Any], device: torch.device) -> None:
        self._device = device
        self.is_ahead = False  # it did a step that the engine does not count yet
        self._steps = 0
        self._pipeline, self._arguments = pipeline, arguments
        self._go, self._came = Semaphore(0), Semaphore(0)
        self._started = self._stopped = False
        self._result: Image.Image | None = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="retouch-pipeline", daemon=True)

    def advance(self) -> None:
        """Let it work to the end of its next step, or to its end; raises what it raised."""
        if self.is_ahead:
            self.is_ahead = False
            return
        if self._result is None and self._error is None:
            self._move()
        if self._error is not None:
            raise self._error

    @property
    def steps(self) -> int:
        """Steps done that the engine counts."""
        return self._steps - self.is_ahead

    def result(self) -> Image.Image:
        """Let it work to its end; its picture."""
        while self._result is None:
            self.advance()
        return self._result

    def stop(self) -> None:
        """Have it give up where it stands, and everything it holds with it."""
        self._stopped = True
        self._go.release()

    def _move(self) -> None:
        if self._started:
            self._go.release()
        else:
            self._started = True
            self._thread.start()
        self._came.acquire()

    def _work(self) -> None:
        try:
            with guarded():
                self._result = self._pipeline(
                    **self._arguments, callback_on_step_end=self._pause
                ).images[0]
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            self._error = error
        self._came.release()

    def _pause(
        self, _pipeline: Any, _step: int, _time: Any, kept: dict[str, Any]
    ) -> dict[str, Any]:
        finish(self._device)
        self._steps += 1
        self._came.release()
        self._go.acquire()
        if self._stopped:
            raise Stopped
        return kept


class Session:
    """A picture being made. Dropping the object stops its thread."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self.plan = plan
        self.run = run
        # Not at exit: a thread that wakes while the interpreter ends takes the process down.
        finalize(self, run.stop).atexit = False


class WholeFamily:
    """`retouch.ports.Family` over a pipeline of diffusers."""

    def __init__(self, pipeline: Any, recipe: Recipe, most_images: int, device: str) -> None:
        self._device = torch.device(device)
        self.name = recipe.name
        self.recipe = recipe
        self._pipeline = pipeline
        self._most_images = most_images
        self._takes = frozenset(inspect.signature(type(pipeline).__call__).parameters)

    @classmethod
    def load(
        cls, folder: Path, *, name: str, device: str, dtype: DType, options: Options | None = None
    ) -> "WholeFamily":
        """From a folder in diffusers' layout; raises WeightsError.

        Of the options it has a use for quantisation and offload, the latter as diffusers does it;
        a transformer of its own is refused.
        """
        import diffusers

        options = options or Options()
        if options.transformer is not None:
            raise WeightsError(f"{name} takes no transformer from a file: it is driven whole")
        check_device(device)
        index = read_json(folder / "model_index.json")
        class_name = str(index["_class_name"])
        for part, named in index.items():
            if isinstance(named, list) and named[0] not in LIBRARIES:
                raise WeightsError(
                    f"{folder / 'model_index.json'} names {named[0]}.{named[1]} for {part}, "
                    "which is not a class we load"
                )
        try:
            with without_progress_bars():
                pipeline = getattr(diffusers, class_name).from_pretrained(
                    str(folder),
                    dtype=getattr(torch, dtype),
                    local_files_only=True,
                    **_rounding(options.quantisation, index),
                    **_processor(folder, index),
                )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise WeightsError(f"cannot load {class_name} from {folder}: {error}") from error
        _place(pipeline, device, options.offload)
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline, read_recipe(folder, name, DEFAULTS), WHOLE[class_name], device)

    def plan(self, edit: Edit, images: Sequence[Size], seed: int) -> Plan:
        """Sizes, steps and seed for one picture; raises InvalidEdit when out of bounds."""
        broken = [*violations(edit, len(images), most=self._most_images)]
        if not images:
            broken.append(Violation("images", "required", "is empty, these weights need a picture"))
        if edit.loras:
            broken.append(Violation("loras", "unsupported", "are not served by these weights"))
        if broken:
            raise InvalidEdit(tuple(broken))
        recipe = self.recipe
        if edit.size is None and edit.aspect_ratio is None:
            shape = AspectRatio(images[0].width, images[0].height)
            size = target_size(Edit(prompt="", aspect_ratio=shape), None, recipe.area)
        else:
            size = target_size(edit, None, recipe.area)
        rows = size.width * size.height // MULTIPLE**2
        return Plan(
            size=size,
            references=tuple(images),
            steps=recipe.steps if edit.steps is None else edit.steps,
            guidance=recipe.guidance if edit.guidance is None else edit.guidance,
            seed=seed,
            tokens=rows * (1 + len(images)),
        )

    def open(self, plan: Plan, edit: Edit, images: Sequence[Picture]) -> Session:
        """A session; the pipeline encodes text and references in its first step."""
        pictures = [Image.frombytes("RGB", (it.width, it.height), it.data) for it in images]
        arguments: dict[str, Any] = {
            "prompt": edit.prompt,
            "image": pictures if self._most_images > 1 else pictures[0],
            "width": plan.size.width,
            "height": plan.size.height,
            "num_inference_steps": plan.steps,
            "generator": torch.Generator("cpu").manual_seed(plan.seed),
        }
        if "true_cfg_scale" in self._takes:
            arguments |= {"true_cfg_scale": plan.guidance, "negative_prompt": " "}
        elif "guidance_scale" in self._takes:
            arguments["guidance_scale"] = plan.guidance
        return Session(plan, Run(self._copy(), arguments, self._device))

    def step(self, sessions: Sequence[Session]) -> None:
        """One denoising step for each, one after the other. All or nothing, as far as one can see:
        a step that a failing neighbour made worthless is counted when it is asked for again."""
        moved: list[Run] = []
        try:
            for session in sessions:
                session.run.advance()
                moved.append(session.run)
        except BaseException:
            for run in moved:
                run.is_ahead = True
            raise

    def step_index(self, session: Session) -> int:
        """Steps a session has done."""
        return session.run.steps

    def preview(self, session: Session) -> Picture | None:
        """None: a pipeline does not tell where it heads."""

    def close(self, session: Session) -> Picture:
        """The finished picture."""
        image = session.run.result().convert("RGB")
        if image.size != (session.plan.size.width, session.plan.size.height):
            raise EngineFailed(f"The pipeline made {image.width}x{image.height} pixels, unasked.")
        return Picture(image.width, image.height, image.tobytes())

    def metrics(self, session: Session) -> Mapping[str, float]:
        """Nothing beyond what the engine measures."""
        return {}

    def cost(self, plan: Plan) -> float:
        """Relative: what grows with the square of the tokens."""
        return float(plan.tokens) + plan.tokens**2 / 10_000

    def _copy(self) -> Any:
        """A pipeline with a loop state of its own over the same weights."""
        own = copy.copy(self._pipeline)
        own.scheduler = copy.deepcopy(self._pipeline.scheduler)
        return own


def _rounding(quantisation: str, index: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments for a pipeline's `from_pretrained` that choose a quantisation."""
    if quantisation == "none":
        return {}
    from diffusers.quantizers.pipe_quant_config import PipelineQuantizationConfig

    mapping = {
        name: loading_options(quantisation, index[name][0])["quantization_config"] for name in LARGE
    }
    options: Any = PipelineQuantizationConfig
    return {"quantization_config": options(quant_mapping=mapping)}


def _place(pipeline: Any, device: str, offload: str) -> None:
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)


def _processor(folder: Path, index: Mapping[str, Any]) -> Mapping[str, Any]:
    """A processor that needs no torchvision, in the place of one that does."""
    if index.get("processor") != ["transformers", "Qwen2VLProcessor"]:
        return {}
    from retouch.engine.families.processor import read_processor

    return {"processor": read_processor(folder / "processor")}
