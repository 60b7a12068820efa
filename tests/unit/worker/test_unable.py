"""A worker that its settings keep from starting."""

import multiprocessing

import pytest
from structlog.testing import capture_logs

from retouch import logs
from retouch.bootstrap.worker import work
from retouch.settings import Settings, SettingsError

UNABLE = Settings(weights="toy", safety_words="no/such/list")


@pytest.fixture(autouse=True)
def with_the_logs_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_kwargs: None)


def test_a_child_says_in_a_line_why_it_cannot_start() -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)

    with capture_logs() as lines, pytest.raises(SystemExit) as ended:
        work(UNABLE, "a", None, writer)

    assert ended.value.code == 1
    fault = "[Errno 2] No such file or directory: 'no/such/list'"
    assert [line["reason"] for line in lines if line["event"] == "worker.cannot_start"] == [
        f"setting 'safety_words' is 'no/such/list': {fault}"
    ]
    reader.close()
    writer.close()


def test_where_nobody_supervises_the_error_is_raised() -> None:
    with pytest.raises(SettingsError, match="safety_words"):
        work(UNABLE, "a")


def test_a_folder_of_loras_has_to_be_there() -> None:
    with pytest.raises(SettingsError, match="'loras' is 'no/such': there is no such folder"):
        work(Settings(weights="toy", loras="no/such"), "a")
