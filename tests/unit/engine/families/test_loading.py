import json
import pickle
import shutil
from pathlib import Path

import pytest

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import WeightsError, load_family
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.toy import ToyFamily


def test_weights_may_bring_the_linear_codec(tmp_path):
    family = load_family(write_checkpoint(tmp_path, codec="dct", recipe={"steps": 1}))
    edit = Edit(prompt="red", size=Size(32, 16))

    session = family.open(family.plan(edit, [Size(16, 16)], 0), edit, [Picture(16, 16, bytes(768))])
    family.step([session])
    picture = family.close(session)

    assert (picture.width, picture.height) == (32, 16)


@pytest.fixture
def copy(weights, tmp_path):
    return shutil.copytree(weights, tmp_path / "copy")


def test_weights_are_named_by_their_recipe(weights):
    assert load_family(weights).name == "tiny"


def test_without_a_recipe_weights_are_named_by_their_folder(tmp_path):
    folder = write_checkpoint(tmp_path / "mine")

    assert load_family(folder).name == "mine"


def test_the_toy_needs_no_weights():
    assert isinstance(load_family("toy"), ToyFamily)


def test_no_folder_is_said_with_its_path(tmp_path):
    with pytest.raises(WeightsError, match=r"there are no weights at .*nowhere"):
        load_family(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "component",
    ["transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"],
)
def test_a_missing_component_is_said_with_its_path(copy, component):
    shutil.rmtree(copy / component)

    with pytest.raises(WeightsError, match=f"there is no {component} at .*copy"):
        load_family(copy)


def test_a_truncated_file_is_said_with_its_path(copy):
    file = copy / "text_encoder_2" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])

    with pytest.raises(WeightsError, match=r"cannot load text_encoder_2 from .*copy"):
        load_family(copy)


def test_a_tokenizer_without_words_is_refused(copy):
    (copy / "tokenizer" / "tokenizer.json").unlink()

    with pytest.raises(WeightsError, match="tokenizer has none of"):
        load_family(copy)


def test_missing_weights_are_not_drawn_at_random(copy):
    from safetensors.torch import load_file, save_file

    file = copy / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    del tensors[next(name for name in sorted(tensors) if "layer_norm" in name)]
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(WeightsError, match=r"lacks 1 weights, such as .*layer_norm"):
        load_family(copy)


def test_a_folder_cannot_choose_the_code_that_runs(copy):
    path = copy / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "vae": ["os", "system"]}))

    with pytest.raises(WeightsError, match=r"names os\.system for vae"):
        load_family(copy)


class Running:
    """What a pickle of it does is make a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    ("component", "name"),
    [("text_encoder", "pytorch_model.bin"), ("vae", "diffusion_pytorch_model.bin")],
)
def test_weights_that_are_a_pickle_are_refused_and_never_run(copy, tmp_path, component, name):
    mark = tmp_path / "it-ran"
    for file in (copy / component).glob("*.safetensors*"):
        file.unlink()
    (copy / component / name).write_bytes(pickle.dumps(Running(mark)))

    with pytest.raises(WeightsError, match=f"cannot load {component}"):
        load_family(copy)

    assert not mark.exists()


def test_components_that_do_not_fit_together_are_refused(copy):
    path = copy / "transformer"
    shutil.rmtree(path)
    other = write_checkpoint(copy.parent / "other", text_width=16)
    shutil.copytree(other / "transformer", path)

    with pytest.raises(WeightsError, match="joint_attention_dim is 16"):
        load_family(copy)


def test_an_unknown_transformer_is_refused_with_those_we_run(copy):
    path = copy / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "transformer": ["diffusers", "SanaTransformer2DModel"]}))

    with pytest.raises(WeightsError, match=r"SanaTransformer2DModel.*FluxTransformer2DModel"):
        load_family(copy)


def test_weights_that_take_guidance_need_a_default(tmp_path):
    folder = write_checkpoint(tmp_path / "guided", recipe={"guidance": None})

    with pytest.raises(WeightsError, match="guidance is null, but guided needs one"):
        load_family(folder)


def test_a_device_that_is_not_there_is_named(weights):
    with pytest.raises(WeightsError, match="cannot use the device 'abacus'"):
        load_family(weights, device="abacus")


def test_loading_says_nothing_of_its_progress(weights, capfd):
    load_family(weights)

    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
