from pathlib import Path

import pytest

from retouch.domain.errors import Busy
from retouch.folder import DataFolder


def test_secret_and_node_are_made_once_and_kept(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "data")
    again = DataFolder(tmp_path / "data")

    assert first.secrets() == again.secrets()
    assert first.node() == again.node()
    assert [len(secret) for secret in first.secrets()] == [32]


def test_a_secret_is_rotated_by_a_line_above_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    (old,) = folder.secrets()
    (tmp_path / "secret").write_text(f"a newer secret-of-mine\n{old.hex()}\n".replace(" ", "-"))

    assert folder.secrets() == (b"a-newer-secret-of-mine", old)


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.secrets()

    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o077 == 0


def test_a_folder_is_served_by_one_at_a_time(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    with folder.served(), pytest.raises(Busy, match="another retouch server"), folder.served():
        pass
    with folder.served():
        pass
