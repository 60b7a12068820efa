"""Training: the trimmed forward equals the stock one, and a stopped run goes on where it was."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from retouch.engine.families.codec import DctCodec  # noqa: E402  needs torch
from training.nano import curriculum, words  # noqa: E402  needs torch
from training.nano import train as training  # noqa: E402  needs torch
from training.nano.edits import BY_NAME  # noqa: E402  needs torch
from training.nano.network import (  # noqa: E402  needs torch
    FIRST,
    FLIP,
    MIRROR,
    SECOND,
    TURN,
    Look,
    Shape,
    build,
    fold,
    look_biases,
    pack,
    position_ids,
    rotate,
    rotations,
    unpack,
    velocity,
)
from training.nano.optimiser import orthogonalised  # noqa: E402  needs torch
from training.nano.phrasings import EXAMPLES  # noqa: E402  needs torch

ROOT = Path(__file__).parents[3]

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


@pytest.mark.parametrize(
    ("look", "image", "row", "column"),
    [(FIRST, 1, 1, 2), (SECOND, 2, 1, 2), (MIRROR, 1, 1, 5), (FLIP, 1, 4, 2), (TURN, 1, 4, 5)],
)
def test_a_look_finds_its_place_at_any_size(look: Look, image: int, row: int, column: int) -> None:
    query, key = look_biases(look)
    turns = rotations(position_ids(6, 8, 2), 2)
    queries, keys = (rotate(x.expand(1, len(turns), 1, -1), turns) for x in (query, key))

    scores = queries[0, 2 + 1 * 8 + 2, 0] @ keys[0, :, 0].T

    assert int(scores.argmax()) == 2 + image * 48 + row * 8 + column


def test_the_first_block_tells_every_token_its_half_whatever_the_text() -> None:
    torch.manual_seed(0)
    model = build(Shape(latent_channels=6, heads=8, single=1, text_width=16, pooled_width=16))
    seen: list[torch.Tensor] = []
    output = model.transformer_blocks[0].attn.to_out[0]
    hook = output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    with torch.no_grad():
        whole, states = torch.randn(1, 128, 24), torch.randn(1, 4, 16)
        ids = position_ids(8, 8, 1)
        model(whole, states, torch.randn(1, 16), torch.ones(1), ids, torch.zeros(4, 3))
    hook.remove()

    right, below = (seen[0][0, :64, head * 32].view(8, 8) for head in (6, 7))
    assert (right[:, 4:] > 0.9).all()
    assert (right[:, :4] < -0.9).all()
    assert (below[4:] > 0.9).all()
    assert (below[:4] < -0.9).all()


def test_a_centred_transformer_becomes_a_folded_one_that_looks_everywhere() -> None:
    model = build(Shape(latent_channels=6, heads=8, text_width=16, pooled_width=16))
    for block in (*model.transformer_blocks, *model.single_transformer_blocks):
        torch.nn.init.zeros_(block.attn.to_q.bias)

    fold(model)

    query, _ = look_biases(MIRROR)
    assert torch.equal(model.single_transformer_blocks[0].attn.to_q.bias[:32], query)


def test_unpack_undoes_pack() -> None:
    latent = torch.randn(2, 6, 4, 8)

    assert torch.equal(unpack(pack(latent), 4, 8), latent)


def test_muon_updates_have_singular_values_about_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(16, 64)))

    assert 0.5 < float(values.min()) <= float(values.max()) < 1.5


def test_a_batch_mixes_single_edits_and_compositions() -> None:
    edits = [BY_NAME[name] for name in ("invert", "mirror", "invert + mirror", "sepia + mirror")]

    drawn = curriculum.draw(edits, {}, 200, random.Random(1))  # noqa: S311  repeatable draws

    assert 60 <= sum(bool(edit.parts) for edit in drawn) <= 100
    assert drawn == sorted(drawn, key=lambda edit: edit.name)


def test_the_target_of_a_composition_is_nearer_to_its_parts_than_to_other_edits() -> None:
    aims = words.targets(words.load(ROOT / "src/retouch/weights/nano"), per_edit=3)

    place = {name: number for number, name in enumerate(aims.names)}
    for rows in (aims.pooled, aims.states):
        nearest = torch.cdist(rows[place["sepia + mirror"]][None], rows[: len(EXAMPLES)])[0]
        found = {aims.names[number] for number in nearest.argsort()[:2].tolist()}
        assert found == {"sepia", "mirror"}


def test_new_tokenizers_keep_what_the_encoders_know() -> None:
    old = words.load(ROOT / "src/retouch/weights/nano")

    new = words.retokenised(old, ["make it sepia", "turn it upside down", "flummox it"] * 20)

    for tokenizer, old_tokenizer, encoder, old_encoder in (
        (new.tokenizer, old.tokenizer, new.text_encoder, old.text_encoder),
        (new.tokenizer_2, old.tokenizer_2, new.text_encoder_2, old.text_encoder_2),
    ):
        rows, old_rows = (it.get_input_embeddings().weight for it in (encoder, old_encoder))
        vocabulary, old_vocabulary = tokenizer.get_vocab(), old_tokenizer.get_vocab()
        both = vocabulary.keys() & old_vocabulary.keys()
        assert len(both) > 30
        for piece in both:
            assert torch.equal(rows[vocabulary[piece]], old_rows[old_vocabulary[piece]])
        known, old_known = encoder.state_dict(), old_encoder.state_dict()
        same = [name for name, value in known.items() if value.shape == old_known[name].shape]
        assert len(same) > 15
        for name in same:
            assert torch.equal(known[name], old_known[name]), name


def test_the_same_texts_make_the_same_tokenizer() -> None:
    texts = words.spellings(per_edit=10, seed=5)

    first, second = (words.clip_tokenizer(texts).backend_tokenizer.to_str() for _ in range(2))

    assert first == second


def test_the_same_seed_tunes_the_same_encoders() -> None:
    weights = ROOT / "src/retouch/weights/nano"
    aims = words.targets(words.load(weights), per_edit=2)

    first, second = (words.tune(words.load(weights), aims, 2, per_edit=6) for _ in range(2))

    moved = first.text_encoder.state_dict()
    for name, value in second.text_encoder.state_dict().items():
        assert torch.equal(moved[name], value)
    before = words.load(weights).text_encoder.state_dict()
    assert any(not torch.equal(before[name], value) for name, value in moved.items())


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


def test_a_run_goes_on_from_exported_weights_with_their_codec_and_words(
    tmp_path: Path, options: training.Options
) -> None:
    weights, out = tmp_path / "weights", tmp_path / "out"
    first = training.start(options)
    first.model.save_pretrained(weights / "transformer")
    for name in ("vae", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"):
        (weights / name).mkdir()
        (weights / name / "mark").write_text(name)

    training.take_over(weights, out)
    again = training.start(dataclasses.replace(options, out=out, weights=weights, seed=7))

    assert (out / "text_encoder_2" / "mark").read_text() == "text_encoder_2"
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value)
