"""`retouch models`: what it says of weights, without a network."""

import json

import pytest

from retouch.cli import main
from retouch.cli.models import PullLines
from retouch.folder import DataFolder

pytest.importorskip("huggingface_hub")


def test_the_plan_of_the_bundled_weights_adds_up(capsys):
    assert main(["models", "plan", "nano", "--json"]) == 0

    *rows, total = json.loads(capsys.readouterr().out)
    assert total["component"] == "total"
    for column in ("parameters", "file_bytes", "wide_bytes", "narrow_bytes"):
        assert total[column] == sum(row[column] for row in rows)


def test_a_binding_licence_stops_the_pull_until_it_is_acknowledged(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise RuntimeError("the Hub was asked")

    monkeypatch.setattr("retouch.net.hub.Hub.files", refuse)
    pull = ["models", "pull", "flux1-kontext-dev", "--data", str(tmp_path)]

    assert main(pull) == 1
    said = capsys.readouterr().err
    assert "FLUX.1 [dev] Non-Commercial" in said
    assert "--accept-licence" in said

    with pytest.raises(RuntimeError, match="the Hub was asked"):
        main([*pull, "--accept-licence"])
    with pytest.raises(RuntimeError, match="the Hub was asked"):
        main(pull)  # once is enough
    assert DataFolder(tmp_path).accepted() == {"black-forest-labs/FLUX.1-Kontext-dev"}


def test_a_line_is_printed_for_every_twentieth(capsys):
    from retouch.net.hub import Pulled

    lines = PullLines()
    for done in range(1001):
        lines.show(Pulled(done, 1000, 0, 2, "vae/model.safetensors"))

    said = capsys.readouterr().err.splitlines()
    assert len(said) == 21
    assert said[0].startswith("  0 %  0 B of 1.0 kB, 0 of 2 files")
    assert said[-1].startswith("100 %  1.0 kB of 1.0 kB")
