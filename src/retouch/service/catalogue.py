"""The public model names, and the weights that serve them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from retouch.domain.errors import NotFound
from retouch.protocols.base import Model
from retouch.protocols.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Entry:
    """A public model, the protocol it belongs to, and the weights that really serve it."""

    protocol: str
    model: Model
    weights: str


class Catalogue:
    """Every public model of every protocol, all served by one set of weights."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.model.name: entry for entry in entries}

    @classmethod
    def build(
        cls, dialects: Iterable[Dialect], weights: str = "nano", *, inpaints: bool = True
    ) -> "Catalogue":
        """The catalogue of these protocols' models, without those that the weights cannot serve.

        `inpaints` says whether the weights keep to a mask in each step.
        """
        return cls(
            Entry(it.name, model, weights)
            for it in dialects
            for model in it.models
            if inpaints or not model.is_inpainting
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything in it, in the protocols' order."""
        return tuple(self._entries.values())

    @property
    def weights(self) -> Mapping[str, str]:
        """The weights' name behind each public name."""
        return {name: entry.weights for name, entry in self._entries.items()}

    def find(self, name: str) -> Entry:
        """One entry; raises NotFound."""
        if name not in self._entries:
            raise NotFound("model", name)
        return self._entries[name]
