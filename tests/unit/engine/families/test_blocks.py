"""Compiled blocks: a few programs for packs of every shape, and the same numbers."""

from functools import partial

import pytest
import torch
from structlog.testing import capture_logs

from retouch.domain.edit import Edit, Size
from retouch.domain.picture import Picture
from retouch.engine.families import WeightsError, fast, load_family
from retouch.engine.families.flux2 import Flux2Family
from retouch.engine.families.tiny import write_checkpoint
from retouch.engine.families.tiny_flux2 import write_flux2_checkpoint

PACKS = ([(64, 64)], [(96, 48)], [(64, 64), (80, 96)], [(32, 80)], [(64, 96), (16, 16), (64, 64)])
RECIPE = {"name": "tiny", "max_sequence_length": 40, "area": 64 * 64, "steps": 3}

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says of its own compiler


CORNER = torch.arange(16) < 6
PHOTO = Picture(64, 64, bytes(range(256)) * 48)


@pytest.fixture(scope="module", params=[write_checkpoint, write_flux2_checkpoint])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("weights"), recipe=RECIPE)


@pytest.fixture
def family(folder):
    return load_family(folder, fast_tolerance=1e9)


@pytest.fixture
def programs(monkeypatch):
    """The programs that were compiled: traced as they would be, and run as they were traced."""
    made = []

    def backend(graph, _inputs):
        made.append(graph)
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend, fullgraph=True))
    yield made
    torch.compiler.reset()


def stepped(family, pack):
    edits = [Edit(prompt="red", size=Size(*sides), seed=7) for sides in pack]
    sessions = [family.open(family.plan(edit, [], 7), edit, []) for edit in edits]
    family.step(sessions)
    return [session.latents for session in sessions]


def fast_paths(family):
    """Pictures in fast mode in company, at steps of every kind: whole, cut short, looks, and those
    of a region."""
    sessions = []
    for number in range(3):
        edit = Edit(prompt="red", size=Size(64, 64), steps=8, mode="fast")
        plan = family.plan(edit, [Size(64, 64)], number)
        sessions.append(family.open(plan, edit, [PHOTO]))
        for _ in range(2):
            family.step(sessions)
    return [session.latents for session in sessions]


def test_a_request_alone_and_packs_take_a_few_programs_whatever_their_sizes_and_modes(
    family, programs, monkeypatch
):
    monkeypatch.setattr(fast, "edited", lambda *_: CORNER)
    written = [stepped(family, pack) for pack in PACKS] + [fast_paths(family)]

    family.compile()

    # Of each kind of block two, and two more for regions; distilled FLUX.2 is never fast.
    expected = (2 if isinstance(family, Flux2Family) else 4) * 3
    assert len(programs) == expected
    compiled = [stepped(family, pack) for pack in PACKS] + [fast_paths(family)]
    for ours, theirs in zip(compiled, written, strict=True):
        for latents, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(latents, other, rtol=1e-5, atol=1e-5)
    assert len(programs) == expected


def test_where_the_compiler_fails_blocks_stay_as_written(weights, monkeypatch):
    def broken(graph, _inputs):
        raise RuntimeError("no compiler here")

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    family = load_family(weights)

    with capture_logs() as lines:
        family.compile()

    (line,) = (it for it in lines if it["event"] == "engine.blocks_not_compiled")
    assert "no compiler here" in line["reason"]
    assert stepped(family, PACKS[2])


def test_blocks_are_compiled_where_it_pays_or_was_asked_for(weights, monkeypatch, tmp_path):
    from retouch.engine.families.flux1 import Flux1Family

    compiled = []
    monkeypatch.setattr(Flux1Family, "compile", lambda self: compiled.append(self))

    load_family(weights)
    load_family(weights, compile_blocks="auto")
    assert not compiled
    load_family(weights, compile_blocks="on")
    assert len(compiled) == 1
    load_family("toy", compile_blocks="on")
    with pytest.raises(WeightsError, match="compile_blocks is 'maybe'; known: auto, on, off"):
        load_family(weights, compile_blocks="maybe")
