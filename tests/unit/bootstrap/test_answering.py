"""What a web process is told by the settings."""

import pytest

from retouch.bootstrap.answering import web_options
from retouch.settings import Settings


@pytest.mark.parametrize(("processes", "each"), [(1, 30), (4, 8), (30, 1), (100, 1)], ids=str)
def test_web_processes_share_the_wrong_keys_between_them(processes: int, each: int) -> None:
    settings = Settings(max_wrong_keys=30, web_processes=processes)

    assert web_options(settings).max_wrong_keys == each


def test_no_limit_stays_none() -> None:
    assert web_options(Settings(max_wrong_keys=0, web_processes=4)).max_wrong_keys == 0
