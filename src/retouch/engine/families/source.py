"""Where weights come from: a bundled name, one we know, a repository of the Hub, or a folder.

No torch here: the command line asks these questions too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from retouch.domain.errors import RetouchError

NON_COMMERCIAL = "https://huggingface.co/black-forest-labs/{}/blob/main/LICENSE.md"
APACHE = "https://www.apache.org/licenses/LICENSE-2.0"

BUNDLED = frozenset({"nano"})
"""Weights that ship with the package, in `retouch/weights/NAME`."""

REPO = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)


class WeightsError(RetouchError):
    """Weights that cannot be loaded; the message names the path and what is wrong there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Published weights we run: their repository, family and licence.

    `must_accept`: the licence binds whoever deploys them, so it is acknowledged once before use.
    """

    repo: str
    family: str
    licence: str
    licence_url: str
    must_accept: bool = False


KNOWN: Mapping[str, Known] = {
    "flux1-kontext-dev": Known(
        repo="black-forest-labs/FLUX.1-Kontext-dev",
        family="flux1",
        licence="FLUX.1 [dev] Non-Commercial",
        licence_url=NON_COMMERCIAL.format("FLUX.1-Kontext-dev"),
        must_accept=True,
    ),
    "flux2-klein-4b": Known(
        repo="black-forest-labs/FLUX.2-klein-4B",
        family="flux2",
        licence="Apache-2.0",
        licence_url=APACHE,
    ),
    "flux2-klein-9b": Known(
        repo="black-forest-labs/FLUX.2-klein-9B",
        family="flux2",
        licence="FLUX Non-Commercial",
        licence_url=NON_COMMERCIAL.format("FLUX.2-klein-9B"),
        must_accept=True,
    ),
    "qwen-image-edit-2511": Known(
        repo="Qwen/Qwen-Image-Edit-2511",
        family="diffusers",
        licence="Apache-2.0",
        licence_url=APACHE,
    ),
}
"""By the short name that `weights` and `retouch models pull` take."""


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository of the Hub."""

    id: str
    revision: str = "main"

    @property
    def known(self) -> Known | None:
        """The known weights of this name."""
        return next((it for it in KNOWN.values() if it.repo.lower() == self.id.lower()), None)


def source_of(weights: str | Path) -> Path | Repo:
    """The weights that a setting names, a folder first; raises WeightsError if there are none."""
    if weights in BUNDLED:
        return Path(str(files("retouch").joinpath("weights", str(weights))))
    if Path(weights).is_dir():
        return Path(weights)
    text = str(weights)
    if text in KNOWN:
        return Repo(KNOWN[text].repo)
    match = REPO.fullmatch(text)
    if match and not text.startswith((".", "/")):
        return Repo(match["id"], match["revision"] or "main")
    known = ", ".join((*sorted(BUNDLED), *KNOWN))
    raise WeightsError(
        f"there are no weights at {weights}; give a folder, a repository as OWNER/NAME, or one of "
        f"{known}"
    )


def folder_of(source: Path | Repo) -> Path:
    """The folder weights lie in, never from the network; raises WeightsError."""
    if isinstance(source, Path):
        return source
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.id, "model_index.json", revision=source.revision)
    if not isinstance(found, str):
        raise WeightsError(
            f"{source.id} is not on this machine; run: retouch models pull {source.id}"
        )
    return Path(found).parent


def name_of(source: Path | Repo) -> str:
    """The name of weights: that of the folder, or the id of the repository."""
    return source.name if isinstance(source, Path) else source.id
