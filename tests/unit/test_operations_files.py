"""What operators are given, `deploy/` and the page on operations, against what is in the code."""

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from retouch.ports import Enlisted, ProcessKind
from retouch.service.meters import WebMeters, WorkerMeters, exposition
from retouch.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "operations.md").read_text()
UNIT = (DEPLOY / "retouch.service").read_text()
NAMES = {f"RETOUCH_{item.name.upper()}" for item in fields(Settings)}
DRAIN_S = Settings().drain_s


def test_the_page_lists_every_figure_with_its_meaning() -> None:
    workers = [Enlisted("w", ProcessKind.WORKER, WorkerMeters(lambda: 1).figures())]
    text = exposition(WebMeters(), workers, {"queued": 0}, None).decode()
    found = {
        f"{it.name}_total" if it.type == "counter" else it.name: it.documentation
        for it in text_string_to_metric_families(text)
        if it.name.startswith("retouch_")
    }

    listed = re.findall(r"^\| `(retouch_\w+)` \|.*?\|.*?\| (.+?) \|$", PAGE, re.MULTILINE)

    assert dict(listed) == found
    assert len(listed) == len(found)


def test_the_page_names_figures_and_settings_that_exist() -> None:
    listed = set(re.findall(r"^\| `(retouch_\w+)`", PAGE, re.MULTILINE))
    named = {
        re.sub(r"_(bucket|count|sum)$", "", it) for it in re.findall(r"\bretouch_[a-z_]+\b", PAGE)
    }
    settings = re.search(r"## Settings that matter.*?## ", PAGE, re.DOTALL)

    assert named <= listed
    assert settings
    rows = re.findall(r"^\| (`.+?`) \|", settings[0], re.MULTILINE)
    for name in re.findall(r"`(\w+)`", " ".join(rows)):
        assert f"RETOUCH_{name.upper()}" in NAMES


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    here = tmp_path / "retouch.service"  # the program it starts has to exist where it is checked
    here.write_text(UNIT.replace("/opt/retouch/bin/retouch", "/bin/true"))

    for verb in (
        ["verify", "--man=no"],
        ["security", "--offline=true", "--threshold=25", "--no-pager"],
    ):
        done = subprocess.run(  # noqa: S603
            ["systemd-analyze", *verb, str(here)],  # noqa: S607
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_the_unit_waits_for_the_drain() -> None:
    wait = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)

    assert wait
    assert int(wait[1]) >= DRAIN_S + 10


def test_the_unit_has_a_server_that_hangs_started_again() -> None:
    said = dict(re.findall(r"^(\w+)=(.+)$", UNIT, re.MULTILINE))

    assert said["Type"] == "notify"
    assert said["WatchdogSignal"] == "SIGKILL"  # one that is stopped heeds no other
    assert said["Restart"] == "always"
    assert f"`WatchdogSec={said['WatchdogSec']}`" in PAGE


def test_the_image_runs_as_nobody_special_and_knows_its_health() -> None:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0].isupper()]
    last = dict(lines)  # of each instruction the last counts

    assert last["USER"] == "retouch"
    assert last["VOLUME"] == "/data"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert "/readyz" in last["HEALTHCHECK"]
    assert last["CMD"] == '["retouch", "serve"]'
    assert set(re.findall(r"\bRETOUCH_\w+(?==)", text)) <= NAMES
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())


def test_the_site_shares_its_database_its_pictures_and_its_secret() -> None:
    site = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    web, worker = site["services"]["web"], site["services"]["worker"]

    assert web["environment"] == worker["environment"]
    assert set(web["environment"]) == {"RETOUCH_DATABASE", "RETOUCH_SECRET", "RETOUCH_BLOBS"}
    assert set(web["environment"]) <= NAMES
    assert web["volumes"] == worker["volumes"]
    assert (web["command"][1], worker["command"][1]) == ("web", "worker")
    assert web["ports"] == ["127.0.0.1:8787:8787"]
    assert (DEPLOY / web["build"]["context"] / web["build"]["dockerfile"]).is_file()
    declared = set(site["volumes"])
    for service in site["services"].values():
        assert {volume.split(":")[0] for volume in service["volumes"]} <= declared
    for service in (web, worker):
        assert int(service["stop_grace_period"].removesuffix("s")) >= DRAIN_S + 10
