"""Requests of any shape share a forward pass and come out as they would alone."""

import random

import pytest
import torch

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import load_family
from retouch.engine.families.packed import velocity
from retouch.engine.families.packed_flux1 import BLOCKS


def photo(width: int, height: int) -> Picture:
    return Picture(width, height, random.Random(width).randbytes(width * height * 3))  # noqa: S311  no secret


REQUESTS = (  # an edit, its references, and the steps done before the packed one
    (Edit(prompt="red", size=Size(64, 64), steps=2), [], 0),
    (Edit(prompt="make it blue", size=Size(96, 48), guidance=4.0), [photo(64, 64)], 1),
    (Edit(prompt="a much longer text", size=Size(32, 80), steps=4), [photo(48, 96)], 3),
    (Edit(prompt="both", size=Size(16, 16), steps=5), [photo(50, 30), photo(32, 64)], 2),
)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def family(request, weights):
    return load_family(weights, dtype=request.param)


def open_all(family):
    sessions = []
    for seed, (edit, images, steps) in enumerate(REQUESTS):
        sizes = [Size(image.width, image.height) for image in images]
        session = family.open(family.plan(edit, sizes, seed), edit, images)
        for _ in range(steps):
            family.step([session])
        sessions.append(session)
    return sessions


def test_four_requests_in_one_pass_equal_each_alone(family):
    together, alone = open_all(family), open_all(family)

    family.step(together)
    for session in alone:
        family.step([session])

    for one, other in zip(together, alone, strict=True):
        if one.latents.dtype == torch.bfloat16:
            assert torch.equal(one.latents, other.latents)
        else:
            torch.testing.assert_close(one.latents, other.latents, rtol=1e-6, atol=2e-6)


def test_a_pass_equals_the_stock_forward(family):
    session = open_all(family)[3]
    model, edit, plan = family._parts.transformer, REQUESTS[3][0], session.plan
    with torch.inference_mode():
        text = family._text.encode(edit.prompt)
        references = family._references(plan, REQUESTS[3][1])
        now = (session.sigmas[session.index] * 1000).to(family._dtype) / 1000
        (ours,) = velocity(model, BLOCKS, [session.requests[0]], [session.latents], [session.index])
        ids = session_ids(family, plan, edit)
        theirs = model(
            hidden_states=torch.cat([session.latents, references])[None],
            encoder_hidden_states=text.tokens[None],
            pooled_projections=text.pooled[None],
            timestep=now[None],
            guidance=torch.tensor([plan.guidance]),
            txt_ids=ids[:24],
            img_ids=ids[24:],
        ).sample[0, : len(session.latents)]

    error = (ours - theirs).float().norm() / theirs.float().norm()
    assert error < (1e-6 if family._dtype == torch.float32 else 1e-2)


def session_ids(family, plan, edit):
    from retouch.engine.families.positions import position_ids

    grids = [(size.height // 16, size.width // 16) for size in (plan.size, *plan.references)]
    return position_ids(24, grids[0], grids[1:], layout="offset", origin="corner")
