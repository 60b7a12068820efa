"""LoRAs: small adapters from the operator's folder, put on a model for the requests that name them.

A request names files of one folder and nothing else; no name ever becomes a path or a download.
PEFT applies them, so a request's picture is what diffusers' `load_lora_weights` and `set_adapters`
would make of it. A forward pass carries one set of LoRAs; requests with other sets take turns.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

import torch
from safetensors import SafetensorError

from retouch.domain.edit import Lora
from retouch.domain.errors import EngineFailed, Violation

SUFFIX = ".safetensors"
MAX_LORAS = 4  # in one edit
MAX_SCALE = 4.0
MAX_LOADED = 8  # kept on the model for coming requests; more than one edit may name


class LoraShelf:
    """The LoRAs one model may wear, and which it wears now.

    `loader` is diffusers' mixin class of the model's pipelines; it knows the formats LoRAs come in.
    """

    def __init__(self, model: Any, loader: str, folder: Path | None = None) -> None:
        self._model = model
        self._loader = loader
        self._folder = folder
        self._loaded: OrderedDict[str, str] = OrderedDict()  # name to PEFT's, least used first
        self._count = 0
        self._worn: tuple[Lora, ...] | None = ()  # None: a change failed half way

    def names(self) -> list[str]:
        """The names that requests may use: the files of the folder without their ending."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.stem for path in self._folder.glob(f"*{SUFFIX}") if path.is_file())

    def violations(self, loras: Sequence[Lora]) -> list[Violation]:
        """Every rule the LoRAs of an edit break."""
        if not loras:
            return []
        found = []
        if len(loras) > MAX_LORAS:
            text = f"has {len(loras)} LoRAs, must have at most {MAX_LORAS}"
            found.append(Violation("loras", "range", text))
        names = self.names()
        for number, lora in enumerate(loras):
            if lora.name.removesuffix(SUFFIX) not in names:
                known = f"it has {', '.join(names)}" if names else "it has none"
                text = f"is {lora.name!r}, which is not a LoRA of this server; {known}"
                found.append(Violation(f"loras.{number}.name", "unknown", text))
            if not abs(lora.scale) <= MAX_SCALE:  # a NaN is not either
                text = f"is {lora.scale}, must be between {-MAX_SCALE} and {MAX_SCALE}"
                found.append(Violation(f"loras.{number}.scale", "range", text))
        if len({lora.name.removesuffix(SUFFIX) for lora in loras}) < len(loras):
            found.append(Violation("loras", "unique", "names a LoRA twice"))
        return found

    def wear(self, loras: Sequence[Lora]) -> None:
        """Have the model apply exactly these; raises EngineFailed for one that does not fit it."""
        wanted = tuple(Lora(lora.name.removesuffix(SUFFIX), lora.scale) for lora in loras)
        if wanted == self._worn:
            return
        self._worn = None
        if not wanted:
            if self._loaded:
                self._model.disable_adapters()
            self._worn = ()
            return
        ids = [self._load(lora.name, {other.name for other in wanted}) for lora in wanted]
        self._model.set_adapters(ids, [lora.scale for lora in wanted])
        self._model.enable_adapters()
        self._worn = wanted

    def turns(self, sets: Sequence[tuple[Lora, ...]]) -> Iterator[list[int]]:
        """The places of each distinct set, while the model wears it: one forward pass each."""
        places: dict[Hashable, list[int]] = {}
        for place, loras in enumerate(sets):
            places.setdefault(loras, []).append(place)
        for members in places.values():
            self.wear(sets[members[0]])
            yield members

    def _load(self, name: str, needed: set[str]) -> str:
        """PEFT's name of a LoRA, loaded if it is not yet."""
        if name not in self._loaded:
            self._make_room(needed)
            self._count += 1
            with torch.inference_mode(False), catch_warnings():  # PEFT sets up parameters
                filterwarnings("ignore", "Already found a `peft_config`")  # several are meant
                filterwarnings("ignore", "Adapter .* was active")  # while one did not fit
                self._read(name, f"lora{self._count}")
            self._loaded[name] = f"lora{self._count}"
        self._loaded.move_to_end(name)
        return self._loaded[name]

    def _make_room(self, needed: set[str]) -> None:
        idle = [name for name in self._loaded if name not in needed]
        for name in idle[: max(0, len(self._loaded) - MAX_LOADED + 1)]:
            self._model.delete_adapters(self._loaded.pop(name))

    def _read(self, name: str, adapter: str) -> None:
        from diffusers.loaders import lora_pipeline

        loader = getattr(lora_pipeline, self._loader)
        try:
            state, *alphas, metadata = loader.lora_state_dict(
                str(self._folder),
                weight_name=f"{name}{SUFFIX}",
                local_files_only=True,
                use_safetensors=True,
                return_lora_metadata=True,
                **({"return_alphas": True} if self._loader == "FluxLoraLoaderMixin" else {}),
            )
            stray = sorted(key for key in state if not key.startswith("transformer."))
            if stray or not state:
                what = f"it changes {stray[0].split('.')[0]}" if stray else "it is empty"
                raise ValueError(f"{what}; only LoRAs of the transformer are served")
            alpha = {"network_alphas": alphas[0]} if alphas else {}
            self._model.load_lora_adapter(
                state, adapter_name=adapter, metadata=metadata, low_cpu_mem_usage=False, **alpha
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise EngineFailed(f"The LoRA {name!r} does not fit these weights: {error}") from error
