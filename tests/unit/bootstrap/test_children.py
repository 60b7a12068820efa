from pathlib import Path

import pytest

from retouch.bootstrap.children import may_fork, worker_child
from retouch.folder import DataFolder
from retouch.settings import Settings
from retouch.testing import MemoryStore


@pytest.mark.parametrize(
    ("device", "expected"), [("cuda", False), ("cuda:1", False), ("cpu", True), ("mps", True)]
)
def test_a_worker_of_a_cuda_device_is_not_forked(device: str, expected: bool) -> None:
    assert may_fork(device) is expected


def test_nor_is_one_that_chooses_its_device_where_there_is_a_driver(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none")

    assert may_fork("auto", [nowhere], [])
    assert not may_fork("auto", [nowhere, str(tmp_path)], [])
    assert may_fork("auto", [nowhere], ["no-such-program"])
    assert not may_fork("auto", [nowhere], ["sh"])


@pytest.mark.parametrize(
    ("weights", "device", "expected"),
    [("nano", "cuda", "spawn"), ("nano", "cpu", "forkserver"), ("toy", "cuda", "forkserver")],
)
def test_the_worker_is_started_accordingly(
    weights: str, device: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(
        "retouch.worker.process.Nursery.spawn",
        lambda nursery: started.append(nursery._context.get_start_method()),
    )
    settings = Settings(weights=weights, device=device)

    worker_child(settings, DataFolder(tmp_path), MemoryStore())._spawn()

    assert started == [expected]
