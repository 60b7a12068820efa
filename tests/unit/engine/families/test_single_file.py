"""A transformer from one file: the same edits, whatever it is kept in."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import WeightsError, load_family
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint

RECIPE = {"name": "tiny", "max_sequence_length": 64, "area": 64 * 64}
PHOTO = Picture(64, 64, bytes(range(256)) * 48)


@pytest.fixture(params=[write_checkpoint, write_flux2_checkpoint], ids=["flux1", "flux2"])
def folder(request, tmp_path):
    """Weights whose transformer's tensors have been taken out, into `transformer.safetensors`."""
    made = request.param(tmp_path / "weights", recipe=RECIPE)
    (tensors,) = (made / "transformer").glob("*.safetensors")
    tensors.rename(tmp_path / "transformer.safetensors")
    return made


def edited(family):
    """The latents of a short edit, as far as the transformer makes them."""
    edit = Edit(prompt="red", steps=2)
    session = family.open(family.plan(edit, [Size(64, 64)], 1), edit, [PHOTO])
    for _ in range(2):
        family.step([session])
    return session.latents.float()


def put_back(folder: Path) -> Path:
    """The same weights in one folder."""
    name = "diffusion_pytorch_model.safetensors"
    save_file(load_file(folder.parent / "transformer.safetensors"), folder / "transformer" / name)
    return folder


def write_gguf(path: Path, tensors: Path, kind: str) -> Path:
    """The same weights, quantised where a row is as long as the blocks of the format."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed")
    quantised = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(str(path), "flux")
    for name, tensor in load_file(tensors).items():
        array = tensor.float().numpy()
        if array.ndim == 2 and array.shape[1] % 32 == 0:
            packed = gguf.quants.quantize(array, quantised)
            writer.add_tensor(name, packed, raw_dtype=quantised)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_safetensors_file_edits_as_the_folder_does(folder):
    file = folder.parent / "transformer.safetensors"

    single = edited(load_family(folder, transformer=file))

    assert torch.equal(single, edited(load_family(put_back(folder))))


def test_a_gguf_file_stays_quantised_and_edits_nearly_as_the_folder_does(folder):
    file = write_gguf(folder.parent / "it.gguf", folder.parent / "transformer.safetensors", "Q8_0")

    family = load_family(folder, transformer=file)

    quantised = import_module("diffusers.quantizers.gguf.utils").GGUFParameter
    kept = [weight for weight in family._model.parameters() if isinstance(weight, quantised)]
    assert len(kept) > 10
    assert all(weight.dtype == torch.uint8 for weight in kept)
    rough, whole = edited(family), edited(load_family(put_back(folder)))
    assert 0 < (rough - whole).abs().mean() < 0.02 * whole.abs().mean()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.safetensors", None, "there is no transformer at "),
        ("it.ckpt", b"", r"must be a .safetensors or .gguf file"),
        ("it.safetensors", b"nothing of the kind", "cannot load .*it.safetensors: are its weights"),
    ],
)
def test_a_file_that_is_none_is_named(weights, tmp_path, name, content, message):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(WeightsError, match=message):
        load_family(weights, transformer=file)


@pytest.mark.parametrize("change", ["lacks", "renames"])
def test_a_file_of_other_weights_is_refused(folder, change):
    tensors = load_file(folder.parent / "transformer.safetensors")
    lost = tensors.pop("x_embedder.weight")
    if change == "renames":
        tensors["x_embedding.weight"] = lost
    save_file(tensors, folder.parent / "other.safetensors")

    with pytest.raises(WeightsError, match=r"cannot load .*other\.safetensors: are its weights"):
        load_family(folder, transformer=folder.parent / "other.safetensors")


def test_a_file_of_another_shape_is_refused(folder):
    config = folder / "transformer" / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"joint_attention_dim": 48}))

    with pytest.raises(WeightsError, match="cannot load"):
        load_family(folder, transformer=folder.parent / "transformer.safetensors")
