"""Weights that are fetched, counted and allowed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.folder import DataFolder
from retouch.settings import Settings

if TYPE_CHECKING:
    from retouch.engine.families.counting import Need
    from retouch.engine.families.source import Repo
    from retouch.net.hub import Hub, Pulled, RemoteFile


def pull_weights(
    settings: Settings, weights: str, *, accept_licence: bool, show: "Callable[[Pulled], None]"
) -> Path:
    """Download a repository's components; the folder they are in. Raises HubError, WeightsError."""
    from retouch.net.hub import Hub

    repo = _repository(weights)
    check_licence(settings, repo, accept=accept_licence)
    hub = Hub()
    files = _wanted_files(hub, repo)
    return hub.pull(repo.id, files, repo.revision, show)


def plan_weights(weights: str) -> "tuple[str, list[Need]]":
    """Where weights are and what each component takes, read from headers alone.

    Of a repository that is not on this machine only the headers are fetched. Raises HubError,
    WeightsError.
    """
    from retouch.engine.families import read_json
    from retouch.engine.families.counting import Need, components, needs
    from retouch.engine.families.source import folder_of, source_of
    from retouch.net.hub import Hub

    source = source_of(weights)
    hub = Hub()
    if isinstance(source, Path) or hub.cached(source.id, "model_index.json", source.revision):
        folder = folder_of(source)
        return str(folder), needs(folder, components(read_json(folder / "model_index.json")))
    counts: dict[str, list[Mapping[str, int]]] = {}
    for file in _wanted_files(hub, source):
        if file.path.endswith(".safetensors"):
            found = hub.counts(source.id, file.path, source.revision)
            counts.setdefault(file.path.partition("/")[0], []).append(found)
    return f"{source.id}, not downloaded", [Need.of(name, it) for name, it in counts.items()]


def _repository(weights: str) -> "Repo":
    from retouch.engine.families.source import WeightsError, source_of

    source = source_of(weights)
    if isinstance(source, Path):
        raise WeightsError(f"{weights} is on this machine already, at {source}")
    return source


def _wanted_files(hub: "Hub", repo: "Repo") -> "list[RemoteFile]":
    from retouch.engine.families import read_json
    from retouch.engine.families.counting import components, wanted
    from retouch.net.hub import NoSuchRepository

    files = {file.path: file for file in hub.files(repo.id, repo.revision)}
    if "model_index.json" not in files:
        raise NoSuchRepository(f"{repo.id} has no model_index.json: it is not in diffusers' layout")
    folder = hub.pull(repo.id, [files["model_index.json"]], repo.revision)
    names = components(read_json(folder / "model_index.json"))
    return [files[path] for path in wanted(files, names)]


def check_licence(settings: Settings, repo: "Repo", *, accept: bool = False) -> None:
    """Raise WeightsError for a licence that binds and was not acknowledged in this data folder."""
    from retouch.engine.families.source import WeightsError

    known = repo.known
    if known is None or not known.must_accept:
        return
    folder = DataFolder(settings.data)
    if repo.id in folder.accepted():
        return
    if not accept:
        raise WeightsError(
            f"{repo.id} is under the licence {known.licence!r}, which binds whoever deploys it: "
            f"read {known.licence_url}, then run: retouch models pull {repo.id} --accept-licence"
        )
    folder.accept(repo.id)
