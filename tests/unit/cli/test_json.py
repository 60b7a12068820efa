"""With `--json` every verb that takes it prints JSON and nothing else."""

import asyncio
import json
from pathlib import Path

import pytest

from retouch.cli import main
from retouch.domain.edit import Edit
from retouch.domain.prediction import Prediction
from retouch.store import SqlStore, migrate

A = Prediction(
    id="a", owner="ada", protocol="p", model="m", input={}, edit=Edit(prompt="x"), created_at=1.0
)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """A data folder with one queued prediction, as flags."""
    asyncio.run(_queue_one(f"sqlite:///{tmp_path}/retouch.db"))
    return ["--data", str(tmp_path)]


async def _queue_one(url: str) -> None:
    await migrate(url)
    store = SqlStore(url)
    await store.start()
    await store.add(A)
    await store.stop()


def test_what_became_of_a_prediction(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for verb in ("cancel", "cancel", "delete", "delete"):
        assert main(["predictions", verb, "a", "--json", *data]) == 0
        said.append(json.loads(capsys.readouterr().out))

    assert said == [
        {"id": "a", "canceled": True},
        {"id": "a", "canceled": False},
        {"id": "a", "deleted": True},
        {"id": "a", "deleted": False},
    ]


def test_which_key_was_revoked(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "create", "anna", "--json", *data])
    made = json.loads(capsys.readouterr().out)

    assert main(["keys", "revoke", "anna", "--json", *data]) == 0
    assert json.loads(capsys.readouterr().out) == {"revoked": made["id"]}
