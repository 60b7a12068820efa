"""Credentials and uploads."""

from dataclasses import replace

import pytest

from retouch.ports import Cursor, File, Key

KEY = Key(id="k1", name="laptop", prefix="rt_abc", digest=b"\0\xff" * 16, created_at=1.0)
FILE = File(
    id="f1",
    owner="ada",
    name="été.png",
    content_type="image/png",
    size_bytes=5_000_000_000,
    sha256="a" * 64,
    md5="b" * 32,
    key="files/f1",
    created_at=1.0,
    expires_at=100.0,
    metadata={"purpose": "edit", "n": [1]},
)


async def test_a_key_is_found_by_its_prefix(store):
    await store.add_key(KEY)

    assert await store.find_key("rt_abc") == KEY
    assert await store.find_key("rt_xyz") is None


async def test_a_revoked_key_is_listed_but_not_found(store):
    await store.add_key(KEY)

    assert await store.revoke_key("k1", at=9.0)

    assert await store.find_key("rt_abc") is None
    assert await store.list_keys() == [replace(KEY, revoked_at=9.0)]
    assert not await store.revoke_key("k1", at=10.0)
    assert not await store.revoke_key("unknown", at=10.0)


async def test_keys_are_listed_oldest_first(store):
    for id, at in (("b", 2.0), ("c", 1.0), ("a", 2.0)):
        await store.add_key(replace(KEY, id=id, prefix=id, created_at=at))

    assert [key.id for key in await store.list_keys()] == ["c", "a", "b"]


@pytest.mark.parametrize("taken", [{"id": "k1", "prefix": "new"}, {"id": "new"}])
async def test_a_taken_key_id_or_prefix_is_refused(store, taken):
    await store.add_key(KEY)

    with pytest.raises(ValueError, match="already"):
        await store.add_key(replace(KEY, **taken))


async def test_a_file_reads_back_for_its_owner_only(store):
    await store.add_file(FILE)

    assert await store.get_file("f1") == FILE
    assert await store.get_file("f1", owner="ada") == FILE
    assert await store.get_file("f1", owner="eve") is None
    with pytest.raises(ValueError, match="f1"):
        await store.add_file(FILE)


async def test_files_page_newest_first(store):
    for id, at in (("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 3.0)):
        await store.add_file(replace(FILE, id=id, created_at=at))
    await store.add_file(replace(FILE, id="eves", owner="eve", created_at=2.0))

    first = await store.page_files("ada", limit=2)
    second = await store.page_files("ada", limit=9, after=Cursor(first[-1].created_at, "c"))

    assert [file.id for file in (*first, *second)] == ["d", "c", "b", "a"]


async def test_a_file_is_deleted_once_and_by_its_owner(store):
    await store.add_file(FILE)

    assert await store.delete_file("f1", owner="eve") is None
    assert await store.delete_file("f1", owner="ada") == FILE
    assert await store.delete_file("f1") is None
    assert await store.get_file("f1") is None


async def test_expired_files_come_oldest_first(store):
    for id, expires_at in (("a", 30.0), ("b", 10.0), ("c", 20.0), ("d", 20.5)):
        await store.add_file(replace(FILE, id=id, expires_at=expires_at))

    assert [file.id for file in await store.expired_files(20.0, limit=9)] == ["b", "c"]
    assert [file.id for file in await store.expired_files(99.0, limit=1)] == ["b"]
