from pathlib import Path

import pytest

from retouch.bootstrap.parts import read_secrets
from retouch.folder import DataFolder
from retouch.settings import Settings, SettingsError


@pytest.mark.parametrize("text", ["\n", "short\n", f"{'a' * 64}\nshort\n"])
def test_a_secret_that_is_too_short_is_refused_by_the_file_it_is_in(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "secret").write_text(text)

    with pytest.raises(SettingsError, match=rf"^the file {tmp_path}/secret .* at least 16 bytes"):
        read_secrets(Settings(), DataFolder(tmp_path))


def test_a_secret_of_the_settings_is_refused_by_their_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^the setting 'secret' .* at least 16 bytes"):
        read_secrets(Settings(secret=("short",)), DataFolder(tmp_path))
