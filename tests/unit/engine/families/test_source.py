"""Where weights come from and what they take, without loading any."""

import json
from pathlib import Path

import pytest

from retouch.engine.families import may_inpaint
from retouch.engine.families.counting import Need, components, needs, read_counts, wanted
from retouch.engine.families.source import (
    KNOWN,
    Repo,
    WeightsError,
    folder_of,
    name_of,
    source_of,
)


def test_a_bundled_name_is_a_folder_of_the_package():
    assert (folder_of(source_of("nano")) / "model_index.json").exists()


def test_a_known_name_is_its_repository():
    source = source_of("flux2-klein-4b")

    assert source == Repo("black-forest-labs/FLUX.2-klein-4B")
    assert name_of(source) == "black-forest-labs/FLUX.2-klein-4B"
    assert source.known is KNOWN["flux2-klein-4b"]


def test_a_repository_may_name_a_revision():
    assert source_of("owner/name@v1.2") == Repo("owner/name", "v1.2")


def test_a_folder_wins_over_a_repository(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert source_of("owner/name") == Path("owner/name")


@pytest.mark.parametrize("weights", ["/no/where", "./no/where", "nothing", "a/b/c"])
def test_what_names_nothing_is_refused_with_what_would(weights):
    with pytest.raises(WeightsError, match=r"there are no weights at .*OWNER/NAME.*nano"):
        source_of(weights)


def test_what_was_not_pulled_says_how_to(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)

    with pytest.raises(WeightsError, match="run: retouch models pull owner/name"):
        folder_of(Repo("owner/name"))


def test_every_licence_that_binds_is_marked():
    assert {name for name, it in KNOWN.items() if it.must_accept} == {
        name for name, it in KNOWN.items() if "Non-Commercial" in it.licence
    }


def test_the_bundled_weights_are_counted_as_torch_counts_them():
    from safetensors import safe_open

    folder = folder_of(source_of("nano"))
    names = components(json.loads((folder / "model_index.json").read_text()))

    counted = {need.component: need for need in needs(folder, names)}

    for name, need in counted.items():
        total = 0
        for file in (folder / name).glob("*.safetensors"):
            with safe_open(file, "pt") as tensors:
                total += sum(tensors.get_tensor(key).numel() for key in tensors.keys())  # noqa: SIM118  no dict
        assert need.parameters == total
    assert set(counted) >= {"transformer", "text_encoder", "vae"}


def test_loading_casts_floats_only():
    need = Need.of("x", [{"BF16": 100, "I64": 3}, {"F32": 10, "F8_E4M3": 7}])

    assert need.parameters == 120
    assert need.file_bytes == 200 + 24 + 40 + 7
    assert (need.wide_bytes, need.narrow_bytes) == (440 + 31, 220 + 31)


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\x08" + b"\0" * 7 + b"no json!", b"\xff" * 9])
def test_what_is_no_safetensors_file_is_named(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)

    with pytest.raises(WeightsError, match="is no safetensors file"):
        read_counts(path)


def test_only_what_loading_reads_is_wanted():
    paths = [
        "README.md",
        "model_index.json",
        "flux1-kontext-dev.safetensors",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        "transformer/pytorch_model.bin",
        "tokenizer/merges.txt",
        "other/model.safetensors",
        "vae/deep/er.json",
    ]

    assert wanted(paths, ["transformer", "tokenizer", "vae"]) == [
        "model_index.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "tokenizer/merges.txt",
    ]


@pytest.mark.parametrize(
    ("transformer", "keeps"),
    [("FluxTransformer2DModel", True), ("Flux2Transformer2DModel", False), (None, False)],
)
def test_some_families_keep_to_a_mask_in_every_step(tmp_path, transformer, keeps):
    index = {"transformer": ["diffusers", transformer]} if transformer else {}
    (tmp_path / "model_index.json").write_text(json.dumps(index))

    assert may_inpaint(tmp_path) is keeps


def test_weights_that_are_elsewhere_are_not_denied_a_mask(tmp_path):
    assert may_inpaint("nano")
    assert may_inpaint("toy")
    assert may_inpaint(tmp_path)
    assert may_inpaint("owner/never-pulled")
