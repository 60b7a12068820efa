"""Creating and reading predictions."""

import asyncio
import time
from dataclasses import replace

import pytest

from retouch.domain.edit import (
    AspectRatio,
    BlobImage,
    Edit,
    FileImage,
    InlineImage,
    MaskImage,
    OutputFormat,
    Size,
    UrlImage,
)
from retouch.domain.prediction import Kept
from retouch.ports import Cursor, Filter


async def test_an_added_prediction_reads_back_equal(lab):
    edit = Edit(
        prompt="für élise ❄ \0",
        images=(UrlImage("https://a.example/b.png"), BlobImage("k"), InlineImage(b"\0\xff")),
        aspect_ratio=AspectRatio(16, 9),
        size=Size(1024, 768),
        output_format=OutputFormat.WEBP,
        seed=2**63 - 1,
        guidance=2.5,
        reference_layout="stitch",
        mode="fast",
        mask=MaskImage(BlobImage("m"), "white", may_stretch=True),
    )
    made = lab.make(edit=edit, input={"a": [1, 2.5, None, {"b": True}]}, priority=3, cost=0.25)

    await lab.store.add(made)

    assert await lab.store.get(made.id) == made


async def test_of_predictions_that_share_a_commit_each_keeps_what_only_it_has(lab):
    made = [
        lab.make(),
        lab.make(),
        lab.make(deadline=4e9, keep_s={Kept.OUTPUTS: 60.0}),
        lab.make(trace="00-1-2-01", start_by=4e9),
    ]

    await asyncio.gather(*map(lab.store.add, made))

    assert [await lab.store.get(it.id) for it in made] == made


async def test_every_kind_of_picture_reads_back(lab):
    images = (UrlImage("u"), BlobImage("k"), InlineImage(b"\x89"), FileImage("f"))
    made = await lab.add(edit=Edit(prompt="", images=images))

    read = await lab.store.get(made.id)

    assert read is not None
    assert read.edit.images == images


async def test_an_unknown_id_is_none(store):
    assert await store.get("nobody") is None


async def test_somebody_elses_prediction_is_none(lab):
    made = await lab.add(owner="ada")

    assert await lab.store.get(made.id, owner="eve") is None
    assert await lab.store.get(made.id, owner="ada") == made


async def test_a_new_prediction_has_one_created_event(lab):
    made = await lab.add()

    (event,) = await lab.store.events(made.id)

    assert (event.prediction_id, event.name, event.at) == (made.id, "created", made.created_at)


async def test_a_taken_id_is_refused_and_changes_nothing(lab):
    made = await lab.add("one")

    with pytest.raises(ValueError, match="one"):
        await lab.store.add(replace(made, owner="eve"))

    assert await lab.store.get("one") == made
    assert len(await lab.store.events("one")) == 1


async def test_one_bad_add_fails_alone_among_concurrent_ones(lab):
    await lab.add("taken")
    made = [lab.make(id) for id in ("a", "b", "taken", "c", "d")]

    outcomes = await asyncio.gather(*map(lab.store.add, made), return_exceptions=True)

    assert [type(o) for o in outcomes] == [type(None)] * 2 + [ValueError] + [type(None)] * 2
    assert len(await lab.store.statuses("abcd")) == 4


async def test_two_concurrent_adds_of_one_id_let_one_in(lab):
    made = [lab.make("same", owner=owner) for owner in "xyz"]

    outcomes = await asyncio.gather(*map(lab.store.add, made), return_exceptions=True)

    assert outcomes.count(None) == 1
    winner = made[outcomes.index(None)]
    assert await lab.store.get("same") == winner


async def test_an_added_prediction_is_on_disk_when_add_returns(lab):
    other = await lab.another()
    seen = []

    async def add() -> None:
        made = await lab.add()
        seen.append(await other.get(made.id))

    await asyncio.gather(*(add() for _ in range(20)))

    assert None not in seen


async def test_a_twin_is_the_owners_newest_recent_one(lab):
    now = time.time() if lab.url else 1_750_000_000.0
    for id, owner, print_, age_s in (
        ("old", "ada", "f", 90.0),
        ("first", "ada", "f", 20.0),
        ("second", "ada", "f", 10.0),
        ("other", "ada", "g", 5.0),
        ("eves", "eve", "f", 5.0),
    ):
        made = lab.make(id, owner=owner, created_at=now - age_s)
        await lab.store.add(made, fingerprint=print_)

    found = await lab.store.twin("ada", "f", within_s=60)

    assert found is not None
    assert found.id == "second"
    assert await lab.store.twin("ada", "f", within_s=5) is None
    assert await lab.store.twin("ada", "unknown", within_s=60) is None


async def test_statuses_name_only_known_ids(lab):
    await lab.add("a")
    await lab.add("b")
    await lab.store.claim("w", limit=1, lease_s=60)

    assert await lab.store.statuses(["a", "b", "c"]) == {"a": "running", "b": "queued"}
    assert await lab.store.statuses([]) == {}


async def test_pages_follow_each_other_when_all_were_created_at_once(lab):
    ids = [f"{letter}{number}" for letter in "aBzÀ-" for number in range(2)]
    for id in ids:
        await lab.add(id, created_at=5.0)

    first = await lab.store.page("ada", limit=4)
    second = await lab.store.page("ada", limit=4, after=Cursor(5.0, first[-1].id))
    third = await lab.store.page("ada", limit=4, after=Cursor(5.0, second[-1].id))

    listed = [p.id for p in (*first, *second, *third)]
    assert listed == sorted(ids, reverse=True)


async def test_a_page_is_newest_first_and_one_owners(lab):
    await lab.add("a", created_at=1.0)
    await lab.add("b", created_at=3.0)
    await lab.add("c", created_at=2.0)
    await lab.add("eves", owner="eve", created_at=2.5)

    assert [p.id for p in await lab.store.page("ada", limit=10)] == ["b", "c", "a"]
    assert [p.id for p in await lab.store.page(None, limit=2)] == ["b", "eves"]


async def test_a_page_is_cut_by_its_filter(lab):
    for id, at in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        await lab.add(id, created_at=at)

    async def ids(where: Filter) -> list[str]:
        return [p.id for p in await lab.store.page("ada", limit=10, where=where)]

    assert await ids(Filter(created_after=2.0)) == ["c", "b"]
    assert await ids(Filter(created_before=2.0)) == ["a"]
    assert await ids(Filter(created_after=1.0, created_before=3.0)) == ["b", "a"]


async def test_depth_counts_what_is_not_over(lab):
    for id in ("a", "b", "c"):
        await lab.add(id)
    await lab.store.claim("w", limit=2, lease_s=60)

    assert await lab.store.depth() == {"queued": 1, "running": 2}
