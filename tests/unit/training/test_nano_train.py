"""Training: the trimmed forward equals the stock one, and a stopped run goes on where it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from retouch.engine.families.codec import DctCodec  # noqa: E402 (needs torch)
from training.nano import train as training  # noqa: E402 (needs torch)
from training.nano.network import (  # noqa: E402 (needs torch)
    Shape,
    build,
    pack,
    position_ids,
    rotations,
    unpack,
    velocity,
)
from training.nano.optimiser import orthogonalised  # noqa: E402 (needs torch)

EDITS = ("invert", "mirror", "blend")


@pytest.fixture
def material() -> training.Material:
    torch.manual_seed(1)
    codec = DctCodec(4, 1, 1, latent_channels=6, scales=[1.0] * 6)
    return training.Material(
        torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8),
        codec,
        {name: torch.randn(2, 16) for name in EDITS},
        {name: torch.randn(2, 4, 16) for name in EDITS},
        torch.ones(24),
    )


@pytest.fixture
def options(tmp_path: Path) -> training.Options:
    shape = Shape(latent_channels=6, double=1, single=1, heads=2, text_width=16, pooled_width=16)
    return training.Options(
        tmp_path, minutes=1, tokens=100, edits=EDITS, shape=shape, save_every_s=1e9
    )


def test_the_trimmed_forward_equals_the_stock_one() -> None:
    torch.manual_seed(0)
    model = build(Shape(latent_channels=6, heads=2, single=2, text_width=16, pooled_width=16))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    target, first, second = (torch.randn(2, 6, 24) for _ in range(3))
    states, pooled, time = torch.randn(2, 4, 16), torch.randn(2, 16), torch.rand(2)
    ids = position_ids(2, 3, 2)

    trimmed = velocity(model, target, [first, second], states, pooled, time, rotations(ids, 4))

    whole = torch.cat([target, first, second], 1)
    stock = model(whole, states, pooled, time, ids, torch.zeros(4, 3), return_dict=False)[0]
    torch.testing.assert_close(trimmed, stock[:, :6], atol=1e-4, rtol=1e-4)


def test_a_new_network_passes_the_noise_through() -> None:
    torch.manual_seed(0)
    model = build(Shape(latent_channels=6, heads=2, single=2, text_width=16, pooled_width=16))
    target, reference = torch.randn(2, 6, 24), torch.randn(2, 6, 24)
    turns = rotations(position_ids(2, 3, 1), 4)
    states, pooled = torch.randn(2, 4, 16), torch.randn(2, 16)

    with torch.no_grad():
        out = velocity(model, target, [reference], states, pooled, torch.ones(2), turns)

    correlation = torch.corrcoef(torch.stack([out.flatten(), target.flatten()]))[0, 1]
    assert float(correlation) > 0.7


def test_positions_are_centred_so_that_a_mirror_negates_them() -> None:
    ids = position_ids(2, 3, 1)

    assert ids.dtype == torch.float32
    assert ids[:6, 1:].sum(0).tolist() == [0.0, 0.0]
    assert ids[:, 0].tolist() == [0.0] * 6 + [1.0] * 6
    assert ids[0].tolist() == [0.0, -0.5, -1.0]


def test_the_first_block_tells_every_token_its_place_whatever_the_text() -> None:
    torch.manual_seed(0)
    model = build(Shape(latent_channels=6, heads=8, single=1, text_width=16, pooled_width=16))
    ids = position_ids(8, 8, 1)
    block = model.transformer_blocks[0]
    features: list[torch.Tensor] = []
    hook = block.attn.register_forward_hook(lambda *call: features.append(call[2][0][0, :64]))

    with torch.no_grad():
        whole, states = torch.randn(1, 128, 24), torch.randn(1, 4, 16)
        model(whole, states, torch.randn(1, 16), torch.ones(1), ids, torch.zeros(4, 3))
    hook.remove()

    # The seventh feature is the sine of the row coordinate at the second frequency.
    rows = features[0].view(8, 8, -1)[:, 0, 24 + 6 * 29]
    assert (rows.diff() > 0).all()
    assert not any(parameter.requires_grad for parameter in block.attn.parameters())


def test_unpack_undoes_pack() -> None:
    latent = torch.randn(2, 6, 4, 8)

    assert torch.equal(unpack(pack(latent), 4, 8), latent)


def test_muon_updates_have_singular_values_about_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(16, 64)))

    assert 0.5 < float(values.min()) <= float(values.max()) < 1.5


def test_a_resumed_run_goes_on_exactly_where_it_stopped(
    material: training.Material, options: training.Options
) -> None:
    straight = training.start(options)
    for _ in range(4):
        training.train_step(straight, material, options, progress=0.1)

    stopped = training.start(options)
    for _ in range(2):
        training.train_step(stopped, material, options, progress=0.1)
    training.save(stopped, options.out)
    resumed = training.start(dataclasses.replace(options, resume=True))
    assert resumed.step == 2
    for _ in range(2):
        training.train_step(resumed, material, options, progress=0.1)

    assert resumed.samples == straight.samples
    for name, value in straight.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value)
    for name, value in straight.average.items():
        torch.testing.assert_close(resumed.average[name], value)
