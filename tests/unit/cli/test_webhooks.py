"""The operator's view of webhooks: what went wrong, and sending it again."""

import asyncio
import json
from pathlib import Path

import pytest

from retouch.cli import main
from retouch.domain.edit import Edit
from retouch.domain.prediction import FINAL, Cancel, Prediction, Webhook
from retouch.ports import GiveUp
from retouch.store import SqlStore, migrate


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """A data folder with one delivery that was given up, as flags."""
    folder = tmp_path / "data"
    folder.mkdir()
    asyncio.run(_give_one_up(f"sqlite:///{folder}/retouch.db"))
    return ["--data", str(folder)]


async def _give_one_up(url: str) -> None:
    await migrate(url)
    store = SqlStore(url)
    await store.start()
    address = "https://ada:hunter2@hook.example:8443/done?token=hunter2"
    await store.add(
        Prediction(
            id="a",
            owner="ada",
            protocol="p",
            model="m",
            input={},
            edit=Edit(prompt="x"),
            created_at=1.0,
            webhook=Webhook(url=address, tells=FINAL, origin="", secret="hunter2"),  # noqa: S106
        )
    )
    await store.advance("a", Cancel("ada"))
    (delivery,) = await store.deliveries(limit=1, lease_s=60)
    await store.settle(delivery, GiveUp("it answered 410"))
    await store.stop()


def test_the_list_says_how_it_went_and_keeps_secrets(
    data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["webhooks", "list", *data]) == 0
    table = capsys.readouterr().out
    assert main(["webhooks", "list", "--json", *data]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert main(["predictions", "show", "a", "--json", *data]) == 0
    shown = capsys.readouterr().out

    assert "it answered 410" in table
    assert (row["id"], row["state"], row["tries"]) == ("a-canceled", "given up", 1)
    assert row["to"] == "https://hook.example:8443/done"
    assert "hunter2" not in table + json.dumps(row) + shown


def test_a_replay_makes_it_due_again(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["webhooks", "replay", "a-canceled", "--json", *data]) == 0

    row = json.loads(capsys.readouterr().out)
    assert (row["state"], row["tries"]) == ("waiting", 0)


def test_an_unknown_delivery_is_named(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["webhooks", "replay", "nobody", *data]) == 1

    assert "nobody" in capsys.readouterr().err
