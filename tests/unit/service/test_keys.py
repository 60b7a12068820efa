"""Keys: shown once, found by prefix, revoked for good."""

import asyncio
from typing import Any

import pytest

from retouch.domain.errors import NotFound
from retouch.service.keys import CACHE_S, Ambiguous, KeyService
from retouch.testing import FakeClock, MemoryStore


class CountingKeys(MemoryStore):
    looks = 0

    async def find_key(self, prefix: str) -> Any:
        self.looks += 1
        await asyncio.sleep(0)  # as a database: others run meanwhile
        return await super().find_key(prefix)

    async def list_keys(self) -> Any:
        self.looks += 1
        await asyncio.sleep(0)
        return await super().list_keys()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> CountingKeys:
    return CountingKeys(clock)


@pytest.fixture
def keys(store: CountingKeys, clock: FakeClock) -> KeyService:
    return KeyService(store, clock)


async def test_a_secret_is_known_again_and_nowhere_kept(keys: KeyService) -> None:
    key, secret = await keys.create("anna")

    assert await keys.authenticate(secret) == key
    assert secret not in repr(await keys.list())


@pytest.mark.parametrize("wrong", ["", "r8_x", "rt_aaaaaaaa_" + "x" * 43])
async def test_anything_else_is_nobody(keys: KeyService, wrong: str) -> None:
    await keys.create("anna")

    assert await keys.authenticate(wrong) is None


async def test_the_right_prefix_with_another_secret_is_nobody(keys: KeyService) -> None:
    _, secret = await keys.create("anna")

    assert await keys.authenticate(secret[:-1] + ("a" if secret[-1] != "a" else "b")) is None


async def test_a_key_is_looked_up_once_a_second(
    keys: KeyService, store: CountingKeys, clock: FakeClock
) -> None:
    _, secret = await keys.create("anna")

    for _ in range(10):
        await keys.authenticate(secret)
    clock.advance(CACHE_S)
    await keys.authenticate(secret)

    assert store.looks == 2


async def test_a_busy_moment_looks_once(keys: KeyService, store: CountingKeys) -> None:
    assert not any(await asyncio.gather(*(keys.any_created() for _ in range(10))))
    assert store.looks == 1

    key, secret = await keys.create("anna")

    assert await asyncio.gather(*(keys.authenticate(secret) for _ in range(10))) == [key] * 10
    assert store.looks == 2


async def test_a_key_revoked_elsewhere_ends_within_a_second(
    keys: KeyService, store: CountingKeys, clock: FakeClock
) -> None:
    key, secret = await keys.create("anna")
    await keys.authenticate(secret)

    await store.revoke_key(key.id, clock.now())
    clock.advance(CACHE_S)

    assert await keys.authenticate(secret) is None


async def test_keys_are_revoked_by_id_or_name(keys: KeyService) -> None:
    first, _ = await keys.create("anna")
    second, _ = await keys.create("ben")

    assert await keys.revoke(first.id) == first.id
    assert await keys.revoke("ben") == second.id
    with pytest.raises(NotFound):
        await keys.revoke("ben")
    assert all(key.revoked_at for key in await keys.list())


async def test_a_name_that_several_keys_have_revokes_none_of_them(
    keys: KeyService, clock: FakeClock
) -> None:
    old, _ = await keys.create("anna")
    clock.advance(1)  # keys are named oldest first
    new, _ = await keys.create("anna")

    with pytest.raises(Ambiguous, match=f"2 keys have the name 'anna'.*{old.id}, {new.id}"):
        await keys.revoke("anna")
    await keys.revoke(old.id)
    assert await keys.revoke("anna") == new.id  # the only one left


async def test_the_first_key_made_elsewhere_is_noticed_within_a_second(
    keys: KeyService, store: CountingKeys, clock: FakeClock
) -> None:
    assert not await keys.any_created()
    await KeyService(store, clock).create("anna")
    clock.advance(CACHE_S)

    assert await keys.any_created()
