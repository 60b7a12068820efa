"""The Hugging Face Hub: what a repository holds, and its files on this machine.

Files land in the Hub's own cache (`HF_HOME`) and are asked for with its own token (`HF_TOKEN` or
`hf auth login`), so nothing is kept twice. huggingface_hub 2 begins a broken download from zero;
tens of gigabytes want better, so the bytes are fetched here, into a partial file that the next try
goes on with.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from retouch.domain.errors import RetouchError

CHUNK_BYTES = 1 << 20
TRIES = 5  # of one file, each going on where the last one broke off
SPARE_BYTES = 1_000_000_000  # left free on the disk
SITE = "https://huggingface.co"


class HubError(RetouchError):
    """Files of the Hub that cannot be had; the message says why and what to do.

    One subclass per reason, so that nobody has to read the words.
    """


class NoToken(HubError):
    """The repository is gated and no token was sent."""


class LicenceNotAccepted(HubError):
    """The token's account has not accepted the repository's terms."""


class TokenWithoutScope(HubError):
    """The token may not read gated or private repositories."""


class BadToken(HubError):
    """The Hub does not know the token."""


class NoSuchRepository(HubError):
    """There is no such repository, revision or file, or it is private."""


class Offline(HubError):
    """The Hub cannot be reached."""


class DiskFull(HubError):
    """The files would not fit."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """How far a pull is: bytes here, bytes in all, files done, files in all, the current file."""

    done_bytes: int
    total_bytes: int
    done_files: int
    total_files: int
    path: str


class Hub:
    """One repository host, by default the one huggingface_hub is configured for."""

    tries: ClassVar[int] = TRIES

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        cache: Path | None = None,
        token: str | None = None,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        from huggingface_hub import constants, get_token

        self._endpoint = endpoint or constants.ENDPOINT
        self._cache = cache or Path(constants.HF_HUB_CACHE)
        self._token = token or get_token()
        self._free_bytes = free_bytes

    def files(self, repo: str, revision: str = "main") -> list[RemoteFile]:
        """Every file of a repository with its size; raises HubError."""
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        with self._explained(repo, revision):
            info = api.model_info(repo, revision=revision, files_metadata=True)
        return [RemoteFile(it.rfilename, it.size or 0) for it in info.siblings or ()]

    def counts(self, repo: str, path: str, revision: str = "main") -> Mapping[str, int]:
        """Numbers by format (`BF16`) in a safetensors file, from its header alone."""
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        with self._explained(repo, revision):
            found = api.parse_safetensors_file_metadata(repo, path, revision=revision)
        return {str(kind): count for kind, count in found.parameter_count.items()}

    def pull(
        self,
        repo: str,
        files: Sequence[RemoteFile],
        revision: str = "main",
        show: Callable[[Pulled], None] = lambda _: None,
    ) -> Path:
        """Have these files in the cache; the folder they are in. Raises HubError.

        What is there already is kept, a partial file is gone on with, and a file is only put in
        its place once its hash is right. `show` is told of every piece.
        """
        folder: Path | None = None
        with self._explained(repo, revision):
            missing = [it for it in files if self.cached(repo, it.path, revision) is None]
            self._check_disk(repo, missing)
            total = sum(it.size_bytes for it in files)
            done = total - sum(it.size_bytes for it in missing)
            for number, file in enumerate(missing, start=len(files) - len(missing)):
                say = _teller(show, done, total, number, len(files), file.path)
                self._fetch(repo, file, revision, say)
                done += file.size_bytes
                show(Pulled(done, total, number + 1, len(files), file.path))
            for file in files:
                path = self.cached(repo, file.path, revision)
                if path is not None and folder is None:
                    folder = Path(str(path).removesuffix(file.path))
        if folder is None:
            raise NoSuchRepository(f"{repo} has none of the files that were asked for")
        return folder

    def cached(self, repo: str, path: str, revision: str = "main") -> Path | None:
        """Where a file lies in the cache, without asking anybody."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(repo, path, cache_dir=self._cache, revision=revision)
        return Path(found) if isinstance(found, str) else None

    # -- one file --------------------------------------------------------------------------------

    def _fetch(
        self, repo: str, file: RemoteFile, revision: str, say: Callable[[int], None]
    ) -> None:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.file_download import repo_folder_name

        url = hf_hub_url(repo, file.path, revision=revision, endpoint=self._endpoint)
        about = get_hf_file_metadata(url, token=self._token or False, endpoint=self._endpoint)
        if about.etag is None:
            raise HubError(f"the Hub gives no hash for {file.path} of {repo}")
        blobs = self._cache / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        blob = blobs / about.etag
        if not blob.exists():
            partial = blobs / f"{about.etag}.partial"
            self._download(url, partial, about.size or file.size_bytes, say)
            if not _is_whole(partial, about.etag):
                partial.unlink()
                raise HubError(f"{file.path} of {repo} arrived damaged and was removed; pull again")
            partial.rename(blob)
        # With the blob in place this only writes the cache's links.
        hf_hub_download(
            repo,
            file.path,
            revision=revision,
            cache_dir=self._cache,
            token=self._token or False,
            endpoint=self._endpoint,
        )

    def _download(self, url: str, partial: Path, size: int, say: Callable[[int], None]) -> None:
        """The rest of a file, appended to what there is of it."""
        import httpx2
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._http import get_session, hf_raise_for_status

        for left in reversed(range(self.tries)):
            have = partial.stat().st_size if partial.exists() else 0
            if have >= size:
                return
            headers = build_hf_headers(token=self._token or False)
            headers["Accept-Encoding"] = "identity"  # what arrives is what is counted and kept
            if have:
                headers["Range"] = f"bytes={have}-"
            try:
                with get_session().stream(
                    "GET", url, headers=headers, follow_redirects=True
                ) as answer:
                    hf_raise_for_status(answer)
                    fresh = have == 0 or answer.status_code != 206
                    with partial.open("wb" if fresh else "ab") as out:
                        for chunk in answer.iter_bytes():
                            out.write(chunk)
                            say(out.tell())
                return
            except httpx2.TransportError:
                if not left:
                    raise

    def _check_disk(self, repo: str, missing: Sequence[RemoteFile]) -> None:
        need = sum(it.size_bytes for it in missing)
        self._cache.mkdir(parents=True, exist_ok=True)
        free = self._free_bytes(self._cache)
        if need and need + SPARE_BYTES > free:
            raise DiskFull(
                f"{repo} needs {gigabytes(need)} more on the disk of {self._cache}, which has "
                f"{gigabytes(free)} free; make room, or set HF_HOME to a larger disk"
            )

    # -- what went wrong -------------------------------------------------------------------------

    @contextmanager
    def _explained(self, repo: str, revision: str) -> Iterator[None]:
        import httpx2
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
        )

        try:
            yield
        except HfHubHTTPError as error:
            raise self._explain(error, repo, revision) from error
        except HFValidationError as error:
            raise NoSuchRepository(f"{repo!r} is no repository's name: {error}") from error
        except (httpx2.TransportError, OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
            raise Offline(
                f"{self._endpoint} cannot be reached for {repo}: {_first_line(error)}; what has "
                "arrived is kept, pull again when there is a network"
            ) from error

    def _explain(self, error: Any, repo: str, revision: str) -> HubError:
        """One sentence for each of the causes that the Hub's answers hardly tell apart."""
        answer = error.response
        status = answer.status_code
        code = answer.headers.get("X-Error-Code", "")
        words = answer.headers.get("X-Error-Message", "")
        page = f"{SITE}/{repo}"
        if status in (401, 403) and words == "Invalid credentials in Authorization header":
            return BadToken(
                "the Hub does not know this token; it may have been revoked. Make another at "
                f"{SITE}/settings/tokens and set HF_TOKEN or run `hf auth login`"
            )
        if status == 403 and self._token and ("token" in words or "permission" in words):
            return TokenWithoutScope(
                f"the token may not read {repo}: give it 'Read access to contents of all public "
                f"gated repos you can access' at {SITE}/settings/tokens"
            )
        if code == "GatedRepo" and not self._token:
            return NoToken(
                f"{repo} is gated and no token was sent: accept its licence at {page}, make a "
                f"token at {SITE}/settings/tokens, and set HF_TOKEN or run `hf auth login`"
            )
        if code == "GatedRepo":
            return LicenceNotAccepted(
                f"the token's account has not accepted the licence of {repo}, or still waits for "
                f"its owners; accept it at {page} and pull again"
            )
        if code == "RevisionNotFound":
            return NoSuchRepository(f"{repo} has no revision {revision!r}")
        if status in (401, 404):
            private = "or the token may not see it" if self._token else "or it is private"
            return NoSuchRepository(f"there is no repository {repo} at {self._endpoint}, {private}")
        return HubError(f"the Hub refused {repo} with {status}: {words or _first_line(error)}")


def gigabytes(count: float) -> str:
    """`23.8 GB`, or smaller units below one.

    >>> gigabytes(23_800_000_000), gigabytes(1_200_000)
    ('23.8 GB', '1.2 MB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def _teller(
    show: Callable[[Pulled], None], before: int, total: int, done: int, files: int, path: str
) -> Callable[[int], None]:
    return lambda have: show(Pulled(before + have, total, done, files, path))


def _is_whole(path: Path, etag: str) -> bool:
    """Whether a file hashes to what the Hub names it by: SHA-256 when large, git's when small."""
    if len(etag) == 64:
        digest = hashlib.sha256()
    elif len(etag) == 40:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return True
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == etag


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
