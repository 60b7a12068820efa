"""The data folder: made private, named once, served by one process group at a time."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from retouch.domain.errors import Busy


class DataFolder:
    """A folder of ours. Everything in it is readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def secrets(self) -> tuple[bytes, ...]:
        """Secrets that sign links, one on each line of a file. The first signs, all are accepted.

        Made once, of 32 random bytes, then the same at every start. A line is hexadecimal, or
        else taken as it stands.
        """
        lines = self._once("secret", secrets.token_hex(32)).split()
        return tuple(_bytes_of(line) for line in lines)

    def keep_secrets(self, found: Sequence[bytes]) -> None:
        """Write these as what signs links; does nothing once there are some."""
        self._once("secret", "\n".join(secret.hex() for secret in found))

    def node(self) -> str:
        """This folder's own name, so that leases of an earlier server here can be told apart."""
        return self._once("node", secrets.token_hex(4))

    def accepted(self) -> frozenset[str]:
        """The repositories whose licence was acknowledged here."""
        path = self.path / "licences"
        return frozenset(path.read_text().splitlines()) if path.exists() else frozenset()

    def accept(self, repo: str) -> None:
        """Remember that a repository's licence was acknowledged."""
        with (self.path / "licences").open("a") as file:
            file.write(f"{repo}\n")

    @contextmanager
    def served(self) -> Iterator[None]:
        """Hold the folder while serving it; raises Busy when another process does."""
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(
                    f"another retouch server is using {self.path}; stop it, or choose --data"
                ) from None
            yield

    def _once(self, name: str, value: str) -> str:
        """Write a small file unless it is there; what it holds. Whole or not at all, and synced."""
        path = self.path / name
        if not path.exists():
            draft = self.path / f".{name}.{os.getpid()}"
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
            ) as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)  # the first of two starters wins
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text()


def _bytes_of(line: str) -> bytes:
    try:
        return bytes.fromhex(line)
    except ValueError:
        return line.encode()
