"""What only a real database can be asked: tables, plans, files, outages."""

import asyncio
import resource
import sqlite3
import stat
from dataclasses import MISSING, fields

import asyncpg
import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import visitors

from retouch.domain.edit import Edit, UrlImage
from retouch.domain.errors import Busy
from retouch.domain.failure import MASK_PLACE, Failure, FailureKind
from retouch.domain.prediction import (
    NOT_STARTED,
    WORKER_CRASHED,
    WORKER_LOST,
    Cancel,
    Kept,
    Output,
    Prediction,
    Requeue,
    Status,
)
from retouch.ports import Cursor, Filter
from retouch.store import SqlStore, migrate, rows
from retouch.store.database import UnusableDatabase, is_outage, open_database, parse_url
from retouch.store.statements import creating, files, moving, reading, retention, webhooks
from retouch.store.tables import metadata

on_sql = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def make(id):
    edit = Edit(prompt="make it snow")
    return Prediction(
        id=id, owner="ada", protocol="fal", model="m", input={}, edit=edit, created_at=1.0
    )


async def with_connection(url, work):
    database = open_database(url)
    try:
        return await database.read(work)
    finally:
        await database.dispose()


# -- tables --------------------------------------------------------------------------------------


@on_sql
async def test_the_migrations_make_exactly_the_tables(database_url):
    def difference(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert await with_connection(database_url, difference) == []


@on_sql
async def test_migrating_again_and_at_once_is_fine(database_url):
    await asyncio.gather(migrate(database_url), migrate(database_url))


async def test_two_processes_may_make_the_same_new_file(tmp_path):
    url = f"sqlite:///{tmp_path}/new.db"

    await asyncio.gather(migrate(url), migrate(url))

    store = SqlStore(url)
    await store.start()
    await store.stop()


@on_sql
async def test_start_refuses_tables_of_another_version(database_url):
    def tamper(connection):
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")

    await with_connection(database_url, tamper)
    store = SqlStore(database_url)

    with pytest.raises(RuntimeError, match="0000"):
        await store.start()
    await store.stop()


@on_sql
async def test_tables_of_a_newer_version_are_left_alone(database_url):
    def tamper(connection):
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    await with_connection(database_url, tamper)

    with pytest.raises(UnusableDatabase, match=r"at version 9999, newer than the \d+ of this"):
        await migrate(database_url)


async def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "a.db").write_bytes(b"something else, of more than a hundred bytes" * 9)

    with pytest.raises(UnusableDatabase, match="file is not a database"):
        await migrate(f"sqlite:///{tmp_path}/a.db")


async def test_a_server_that_is_not_there_is_told_with_the_reason(tmp_path):
    with pytest.raises(Busy, match=r"cannot be reached: .*No such file"):
        await migrate(f"postgresql://u:hunter2@/d?host={tmp_path}")


def test_a_postgres_url_may_say_sslmode_as_hosts_of_databases_do():
    assert parse_url("postgresql://u@h/d?sslmode=require").query == {"ssl": "require"}


def test_a_parameter_that_the_driver_has_not_is_named_and_no_password():
    with pytest.raises(UnusableDatabase, match="'channel_binding'"):
        parse_url("postgresql://u@h/d?channel_binding=require")
    with pytest.raises(UnusableDatabase) as refused:
        parse_url("postgresql://u:pass@word:hunter2@h/d")
    assert "hunter2" not in str(refused.value)


async def test_start_refuses_a_missing_file_and_does_not_make_it(tmp_path):
    file = tmp_path / "none.db"
    store = SqlStore(f"sqlite:///{file}")

    with pytest.raises(RuntimeError, match=r"none\.db"):
        await store.start()
    await store.stop()

    assert not file.exists()


async def test_a_new_file_is_its_owners_alone(tmp_path):
    file = tmp_path / "100%.db"

    await migrate(f"sqlite:///{file}")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await migrate(f"sqlite:///{tmp_path}/nowhere/retouch.db")


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_a_url_we_cannot_run_on_is_refused(url):
    with pytest.raises(UnusableDatabase, match="sqlite:///"):
        parse_url(url)


async def test_sqlite_is_set_up_to_lose_nothing(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    await migrate(url)

    def pragmas(connection):
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]

    assert await with_connection(url, pragmas) == ["wal", 2, 1, 5000]


async def test_a_full_disk_is_busy_and_the_store_goes_on(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    await migrate(url)
    store = SqlStore(url)
    await store.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        await store.add(make("before"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(Busy):
            await store.add(make("during"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await store.add(make("after"))
        ids = [found.id for found in await store.page(None, limit=9)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await store.stop()

    assert sorted(ids) == ["after", "before"]


# -- plans ---------------------------------------------------------------------------------------


def given(statement, **values):
    """A statement with its lists written into it."""

    def fill(element, **_):
        is_list = isinstance(element, sa.BindParameter) and element.key in values
        return sa.bindparam(None, values[element.key], expanding=True) if is_list else None

    return visitors.replacement_traverse(statement, {}, fill)


QUERIES = {
    "candidates": moving.candidates(4),
    "claim": moving.claim("w", [1, 2], 10.0),
    "suspicion": moving.suspicion("w"),
    "look": moving.anything_queued,
    "get": given(reading.those, ids=["a"]),
    "page": reading.page("ada", 20, Cursor(1.0, "a"), Filter()),
    "page of all": reading.page(None, 20, None, Filter()),
    "turn": reading.turn_of("a"),
    "position": reading.ahead(0, 1.0, 5),
    "twin": reading.twin("ada", "f", 60.0),
    "lapsed": moving.release(None, Requeue("abandoned")),
    "dead": moving.release("w", Requeue("crashed")),
    "depth": reading.depth,
    "events": reading.history("a", 0),
    "move": moving.advance("a", Cancel("ada"), None),
    "first": reading.first("k"),
    "forget once": given(creating.forget_once, lapsed=["k"]),
    "unfinished of": given(creating.unfinished_of, owners=["ada"]),
    "highest": creating.highest_seq,
    **{
        f"{name} after {move}": query
        for move, late in moving.OVERDUE
        for name, query in (
            ("anything overdue", moving.anything_overdue(late)),
            ("expire", moving.expire(move, late)),
        )
    },
    "anything due": webhooks.anything_due,
    "due": webhooks.due(4, 60.0, "s"),
    "begun": webhooks.release_deliveries("s"),
    "newest deliveries": webhooks.newest_deliveries(20),
    "outdated inputs": retention.outdated(Kept.INPUTS, 1.0, 10),
    "outdated outputs": retention.outdated(Kept.OUTPUTS, 1.0, 10),
    "outdated records": retention.outdated(Kept.RECORD, 1.0, 10),
    **{f"next span of {kept}": retention.next_span(kept, 0.0) for kept in Kept},
    **{f"{kept} outdated by own": retention.outdated_by_own(kept, 9, 1.0, 10) for kept in Kept},
    "expired files": files.expired_files(1.0, 10),
}


@pytest.mark.parametrize("name", QUERIES)
def test_every_statement_is_compiled_once(name):
    assert QUERIES[name]._generate_cache_key() is not None


@on_sql
@pytest.mark.parametrize("name", QUERIES)
async def test_no_hot_query_reads_the_whole_table(database_url, name):
    def plan(connection):
        text = QUERIES[name].compile(connection, compile_kwargs={"literal_binds": True})
        if connection.dialect.name == "sqlite":
            lines = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
            return "\n".join(line[-1] for line in lines)
        # A table this small is quickest read or sorted whole: ask whether there is another way.
        for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
            connection.exec_driver_sql(f"SET enable_{way} = off")
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {text}").scalars())

    found = await with_connection(database_url, plan)

    assert "Seq Scan" not in found, found
    scans = [
        line
        for line in found.splitlines()
        if line.startswith(("SCAN predictions", "SCAN deliveries"))
    ]
    assert all("INDEX ix_" in line for line in scans), found
    if name == "twin":
        assert "ix_predictions_twin" in found, found
    if name in ("candidates", "page", "page of all", "twin", "events", "due", "newest deliveries"):
        assert "TEMP B-TREE" not in found, found
        assert "Sort" not in found, found


# -- rows of another version ---------------------------------------------------------------------

SENTENCES = {
    "The prompt or an input picture was refused by a safety check. Found: nudity.": (
        FailureKind.BLOCKED_REQUEST,
        None,
    ),
    "The result was refused by a safety check. Found: nudity.": (FailureKind.BLOCKED_RESULT, None),
    "The image URL https://h/a could not be fetched: it is late.": (FailureKind.UNFETCHED, None),
    "The mask URL's host is not reachable from here: it is private.": (
        FailureKind.UNFETCHED,
        MASK_PLACE,
    ),
    "The input image could not be decoded: it is damaged.": (FailureKind.UNREADABLE, None),
    "The input image is 60 MB, more than the 50 MB allowed.": (FailureKind.TOO_MANY_BYTES, None),
    "The mask is 1 MB, more than the 1 MB allowed.": (FailureKind.TOO_MANY_BYTES, MASK_PLACE),
    "The input image is 9x9 pixels, more than the 8 allowed on a side.": (
        FailureKind.TOO_MANY_PIXELS,
        None,
    ),
    "The input images have more than the 9 megapixels allowed together.": (
        FailureKind.TOO_MANY_PIXELS,
        None,
    ),
    "The mask is 9x9 pixels, more than the 1 megapixels allowed.": (
        FailureKind.TOO_MANY_PIXELS,
        MASK_PLACE,
    ),
    "The mask has no white pixel: nothing would change.": (FailureKind.UNREADABLE, MASK_PLACE),
    "The picture does not fit into the device's memory.": (FailureKind.OUT_OF_MEMORY, None),
    "The model failed: it broke.": (FailureKind.ENGINE, None),
    NOT_STARTED.error: (FailureKind.NOT_STARTED, None),
    WORKER_LOST.error: (FailureKind.WORKER_LOST, None),
    WORKER_CRASHED.error: (FailureKind.WORKER_CRASHED, None),
    "The finished picture could not be stored. Please try again.": (FailureKind.UNAVAILABLE, None),
    "Something else": (FailureKind.INTERNAL, None),
}


@on_sql
async def test_failures_of_before_they_had_a_kind_get_theirs(database_url, lab):
    names = dict(enumerate(SENTENCES))
    for number in names:
        await lab.add(str(number))
    await lab.add("fine")

    def age(connection):
        for column in ("failure", "failed_picture"):
            connection.exec_driver_sql(f"ALTER TABLE predictions DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0013'")
        failing = sa.text("UPDATE predictions SET status='failed', error=:error WHERE id=:id")
        connection.execute(
            failing, [{"id": str(it), "error": error} for it, error in names.items()]
        )

    await with_connection(database_url, age)

    await migrate(database_url)

    found = {error: (await lab.store.get(str(it))).failure for it, error in names.items()}
    assert found == {
        error: Failure(kind, error, picture) for error, (kind, picture) in SENTENCES.items()
    }
    assert (await lab.store.get("fine")).failure is None


def test_the_stored_edit_mirrors_the_edit():
    def shape(cls_fields):
        return {name: default for name, default in cls_fields if name != "images"}

    ours = shape((f.name, None if f.default is MISSING else f.default) for f in fields(Edit))
    stored = shape(
        (f.name, None if f.default is msgspec.NODEFAULT else f.default)
        for f in msgspec.structs.fields(rows.StoredEdit)
    )

    assert stored == ours


def test_a_row_without_a_newer_field_takes_its_default():
    assert rows.edit_from_json('{"prompt": "x"}') == Edit(prompt="x")


def test_a_row_with_an_unknown_field_loads():
    text = '{"prompt": "x", "tomorrow": 1, "images": [{"kind": "url", "url": "u", "crop": 2}]}'

    assert rows.edit_from_json(text) == Edit(prompt="x", images=(UrlImage("u"),))


@on_sql
async def test_an_old_row_loads_from_the_table(database_url, lab):
    made = await lab.add("a")
    output = {"key": "k", "content_type": "image/png", "width": 1, "height": 2, "size_bytes": 3}

    def age(connection):
        outputs = rows.to_json([output | {"tomorrow": True}])
        connection.execute(
            sa.text("UPDATE predictions SET edit = :edit, outputs = :outputs"),
            {"edit": '{"prompt": "old"}', "outputs": outputs},
        )

    await with_connection(database_url, age)

    read = await lab.store.get(made.id)
    assert read is not None
    assert (read.edit, read.outputs) == (Edit(prompt="old"), (Output(**output),))


@on_sql
async def test_a_poll_costs_no_reading_while_nothing_changes_unless_the_input_is_long(lab):
    short, long = await lab.add(), await lab.add(input={"image": "x" * rows.SHORT_INPUT})
    before = [await lab.store.get(it.id) for it in (short, long)]
    again = [await lab.store.get(it.id) for it in (short, long)]
    await lab.store.advance(short.id, Cancel(by="owner"))

    assert again == before
    assert [new is old for new, old in zip(again, before, strict=True)] == [True, False]
    assert (await lab.store.get(short.id)).status is Status.CANCELED


# -- outages -------------------------------------------------------------------------------------


async def test_a_write_waits_for_another_programs_transaction(tmp_path):
    file = tmp_path / "a.db"
    await migrate(f"sqlite:///{file}")
    store = SqlStore(f"sqlite:///{file}")
    await store.start()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    adding = asyncio.create_task(store.release("w"))
    done, _ = await asyncio.wait([adding], timeout=0.1)
    other.execute("COMMIT")

    assert not done
    assert await adding == []
    other.close()
    await store.stop()


def test_a_database_that_is_locked_full_or_broken_is_an_outage_and_a_wrong_statement_is_not():
    errors = {number: sqlite3.OperationalError() for number in (5 | 1 << 8, 10 | 3 << 8, 13, 1)}
    for number, error in errors.items():
        error.sqlite_errorcode = number

    assert [is_outage(error) for error in errors.values()] == [True, True, True, False]
    assert is_outage(ConnectionRefusedError())
    assert not is_outage(ValueError())


@pytest.fixture
def postgres_url(postgres):
    return postgres.emptied()


@pytest.fixture
async def on_postgres(postgres_url):
    store = SqlStore(postgres_url)
    await store.start()
    yield store
    await store.stop()


async def test_cut_connections_are_opened_again(on_postgres, postgres):
    await asyncio.gather(*(on_postgres.depth() for _ in range(5)))
    admin = await asyncpg.connect(host=str(postgres.folder), user="retouch", database="postgres")
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname NOT IN ('postgres', '')"
    )
    await admin.close()

    assert await on_postgres.claim("w", limit=1, lease_s=1) == []
    assert await on_postgres.release() == []
    assert await on_postgres.depth() == {"queued": 0, "running": 0}


async def test_a_commit_of_unknown_outcome_is_not_repeated(on_postgres, monkeypatch):
    commits = []

    async def commit_then_break(connection):
        commits.append(await real(connection))
        raise ConnectionResetError

    real = AsyncConnection.commit
    monkeypatch.setattr(AsyncConnection, "commit", commit_then_break)

    with pytest.raises(Busy, match="look before"):
        await on_postgres.release()
    assert len(commits) == 1


async def test_the_store_outlives_a_crash_of_the_server(spare_postgres):
    url = await asyncio.to_thread(spare_postgres.fresh)
    store, other = SqlStore(url), SqlStore(url)
    await store.start()
    await other.start()
    await store.add(make("a"))

    spare_postgres.kill()
    with pytest.raises(Busy):
        await store.claim("w", limit=1, lease_s=60)
    await asyncio.wait_for(store.changed(0.05), 30)
    await asyncio.to_thread(spare_postgres.launch)

    (claimed,) = await store.claim("w", limit=1, lease_s=60)
    assert (claimed.id, claimed.attempt) == ("a", 1)
    waiting = asyncio.create_task(other.changed(60))
    async with asyncio.timeout(30):
        while not waiting.done():
            await store.advance("a", Requeue("interrupted"))
            await store.claim("w", limit=1, lease_s=60)
            await asyncio.sleep(0.05)
    await store.stop()
    await other.stop()


@on_sql
async def test_whoever_made_a_move_is_told_once_it_is_on_disk(database_url):
    told = []
    store = SqlStore(database_url, on_moved=told.extend)
    await store.start()
    try:
        await store.add(make("a"))
        await store.claim("w", limit=1, lease_s=60)
        await store.release("w")
        await store.advance("a", Cancel("ada"))
        await store.advance("a", Cancel("ada"))  # too late: nothing is moved
    finally:
        await store.stop()

    assert [it.status.value for it in told] == ["running", "queued", "canceled"]
