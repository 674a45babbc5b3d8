"""A database that may forget is refused. One that goes away is waited for; work is done once."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, inspect, make_url, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import PoolProxiedConnection

from cardlib.errors import StorageError
from personalize.register import database as databases
from personalize.register import schema
from personalize.register.bureau import Register
from personalize.register.conflict import JournalConflict
from personalize.register.database import DatabaseUnsafe, file_system_of, open_database
from personalize.register.states import Act, CardState
from personalize.register.verifying import verify
from tests.programs.postgres import Postgres

from .registers import Place, TestSigner, chip, make, place, rows_of, seal

__all__ = ["place"]

A, B = chip(1), chip(2)


def test_a_postgresql_without_fsync_is_refused(careless_database_url: str) -> None:
    with pytest.raises(DatabaseUnsafe, match=r"fsync is off.*Set fsync = on"):
        open_database(careless_database_url)


@pytest.mark.parametrize("value", ["off", "local"])
def test_a_postgresql_that_does_not_wait_for_the_disk_is_refused(
    postgres: Postgres, database_url: str, value: str
) -> None:
    name = database_url.rpartition("/")[2]
    with postgres.connect() as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {value}".encode())
    with pytest.raises(DatabaseUnsafe, match=f"synchronous_commit is {value}") as found:
        open_database(database_url)
    assert postgres.password not in str(found.value)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_sqlite_on_a_network_file_system_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "25 1 0:1 / / rw - ext4 /dev/sda rw\n"
        f"36 25 {os.major(device)}:{os.minor(device)} / /mnt rw shared:1 master:2 - {kind} srv rw\n"
    )
    assert file_system_of(tmp_path, mounts) == kind
    monkeypatch.setattr(databases, "file_system_of", lambda folder: file_system_of(folder, mounts))
    with pytest.raises(DatabaseUnsafe, match=f"network file system \\({kind}\\)"):
        open_database(str(tmp_path / "bureau.sqlite"))


def test_a_machine_that_names_no_file_systems_is_believed(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, tmp_path / "nothing") == ""


@pytest.mark.parametrize(
    "where",
    [
        "mysql://user@host/name",
        "oracle+oracledb://host/name",
        "postgresql+asyncpg://host/name",
        "sqlite+aiosqlite:///bureau.sqlite",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:bureau?mode=memory&uri=true",
        "://",
    ],
)
def test_another_kind_of_address_is_refused(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JournalConflict):
        open_database(where)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["nothing/bureau.sqlite", "."])
def test_a_path_that_cannot_be_a_database_is_one_error(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((JournalConflict, StorageError)):
        open_database(where)


def test_sqlite_waits_for_the_disk_and_is_the_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "bureau.sqlite"
    with Place(str(path), tmp_path / "stations").open() as one:
        names = ("journal_mode", "synchronous")
        found = one.read(
            lambda c: {name: c.execute(text(f"PRAGMA {name}")).scalar() for name in names}
        )
        modes = {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.glob("bureau.sqlite*")}
    assert (found, modes) == ({"journal_mode": "wal", "synchronous": 2}, {0o600})


def test_who_reads_sqlite_keeps_no_station_waiting(tmp_path: Path) -> None:
    site = Place(str(tmp_path / "bureau.sqlite"), tmp_path / "stations")
    with site.open() as one, site.open("two") as two:
        work = site.work(one)
        assert two.read(lambda _: work.take(A, seal)) == 1


def test_a_file_that_is_no_database_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "bureau.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(JournalConflict, match="cannot be used"):
        Place(str(path), tmp_path / "stations").open()
    assert path.read_bytes() == b"not a database" * 100


def test_a_register_of_another_version_is_refused(tmp_path: Path) -> None:
    site = Place(str(tmp_path / "bureau.sqlite"), tmp_path / "stations")
    site.open().close()
    with closing(sqlite3.connect(site.where)) as connection, connection:
        connection.execute("UPDATE register SET format = 99")
    with pytest.raises(JournalConflict, match="another version of this program"):
        site.open()


def test_work_goes_on_when_postgresql_was_stopped_and_is_done_once(
    postgres: Postgres, database_url: str, tmp_path: Path
) -> None:
    site = Place(database_url, tmp_path / "stations")
    with site.open() as one:
        work, done = site.work(one), list[int | None]()
        assert work.take(A, seal) == 1
        stopped = threading.Event()

        def go_on() -> None:
            stopped.wait(10)
            work.advance(1, CardState.ACTIVATING)
            work.advance(1, CardState.ACTIVE)
            done.append(make(work, B))

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        postgres.stop()
        stopped.set()
        thread.join(0.3)
        assert done == []
        postgres.start()
        thread.join(20)
        assert done == [2]
        assert verify(one, TestSigner()).faults == ()
        assert one.file.last[0] == 7


@pytest.fixture
def postgres_site(database_url: str, tmp_path: Path) -> Place:
    return Place(database_url, tmp_path / "stations")


def own_of(connection: PoolProxiedConnection) -> DBAPIConnection:
    """The connection itself, without SQLAlchemy."""
    assert connection.dbapi_connection is not None
    return connection.dbapi_connection


def lose_replies(
    register: Register, monkeypatch: pytest.MonkeyPatch, count: int = 1, *, is_done: bool = True
) -> None:
    """Of the next transactions, lose the reply to COMMIT; it was done or not."""
    engine: Engine = register.database._engine
    commit, left = engine.dialect.do_commit, [count]

    def lost(connection: PoolProxiedConnection) -> None:
        if left[0]:
            left[0] -= 1
            if is_done:
                commit(connection)
            own_of(connection).close()
            raise psycopg.OperationalError("the connection is lost")
        commit(connection)

    monkeypatch.setattr(engine.dialect, "do_commit", lost)


@pytest.mark.parametrize("is_done", [True, False])
def test_a_claim_whose_commit_was_not_heard_of_is_made_once(
    postgres_site: Place, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    with postgres_site.open() as one:
        work = postgres_site.work(one)
        lose_replies(one, monkeypatch, is_done=is_done)
        assert work.take(A, seal) == 1
        lose_replies(one, monkeypatch, is_done=is_done)
        work.advance(1, CardState.ACTIVATING)
        lose_replies(one, monkeypatch, is_done=is_done)
        work.advance(1, CardState.ACTIVE)
        query = select(schema.event.c.act).order_by(schema.event.c.seq)
        acts = [row.act for row in one.read(lambda c: c.execute(query).all())]
        assert acts == [Act.ENTERED, Act.CLAIMED, Act.ACTIVATING, Act.ACTIVATED]
        assert one.file.last[0] == 4
        assert verify(one, TestSigner()).faults == ()
    with postgres_site.open() as one:
        assert len(rows_of(one)["card"]) == 3


def test_a_claim_whose_server_is_still_at_its_commit_is_waited_for(
    postgres_site: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is lost, the server is not: the first try ends after the second one began."""
    with postgres_site.open() as one:
        work = postgres_site.work(one)
        engine: Engine = one.database._engine
        commit, late = engine.dialect.do_commit, list[threading.Timer]()

        def slow(connection: PoolProxiedConnection) -> None:
            if late:
                commit(connection)
                return
            kept.append(own_of(connection))
            late.append(threading.Timer(0.6, kept[0].commit))
            late[0].start()
            raise psycopg.OperationalError("the connection is lost")

        kept: list[DBAPIConnection] = []
        with monkeypatch.context() as patch:
            patch.setattr(engine.dialect, "do_commit", slow)
            for name in ("do_rollback", "do_close", "do_terminate"):
                patch.setattr(engine.dialect, name, lambda _: None)
            assert work.take(A, seal) == 1
        late[0].join(10)
        kept[0].close()
        assert [entry.chip for entry in work.entries()] == [A, None, None]
        assert verify(one, TestSigner()).faults == ()


def test_a_database_that_stays_away_is_given_up_and_told(
    postgres: Postgres, postgres_site: Place
) -> None:
    with postgres_site.open() as one:
        work = postgres_site.work(one)
        one.database.patience = 0.3
        postgres.stop()
        with pytest.raises(StorageError, match="does not answer") as found:
            work.take(A, seal)
        assert postgres.password not in str(found.value)
        postgres.start()
        assert work.take(A, seal) == 1


def test_a_wrong_password_is_told_soon_and_without_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_FIRST", 0.2)
    wrong = make_url(database_url).set(password="not-this-one")
    with pytest.raises(StorageError, match="password authentication failed") as told:
        open_database(wrong.render_as_string(hide_password=False), patience=600)
    assert "not-this-one" not in str(told.value)


def test_a_database_of_another_program_is_refused_and_not_changed(place: Place) -> None:
    database = open_database(place.where)
    with closing(database):
        database.run(lambda connection, _: connection.execute(text("CREATE TABLE card (a INT)")))
    with pytest.raises(JournalConflict, match="tables of another program"):
        place.open()
    with closing(open_database(place.where)) as again:
        names = again.read(lambda connection: inspect(connection).get_table_names())
    assert names == ["card"]
