"""The PostgreSQL of the tests is a real one, safe from others, and keeps what it committed."""

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.programs.child import exit_code, forked
from tests.programs.pcscd import wait_until
from tests.programs.postgres import Postgres, Postgreses

LOOPBACK = {"0100007F"}


def told(url: str, *statements: str) -> object:
    """The one value that the last statement answers, if it answers; each is committed."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            answers = [connection.execute(text(each)) for each in statements]
            return answers[-1].scalar() if answers[-1].returns_rows else None
    finally:
        engine.dispose()


def listening(port: int) -> set[str]:
    """The local addresses, as the kernel writes them, where somebody listens at this port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    if Path("/proc/net/tcp6").exists():
        lines += Path("/proc/net/tcp6").read_text().splitlines()[1:]
    sockets = [(line.split()[1].split(":"), line.split()[3]) for line in lines]
    return {address for (address, at), state in sockets if state == "0A" and int(at, 16) == port}


def test_a_database_of_a_test_is_new_and_keeps_commits_safe(database_url: str) -> None:
    assert told(database_url, "SELECT count(*) FROM pg_stat_user_tables") == 0
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert told(database_url, f"SHOW {setting}") == "on"


def test_the_server_runs_as_no_root_and_listens_on_loopback_only(postgres: Postgres) -> None:
    assert listening(postgres.port) == LOOPBACK
    assert postgres.data.stat().st_uid != 0
    assert postgres.data.stat().st_mode & 0o077 == 0


def test_nobody_gets_in_without_the_password(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(
            host="127.0.0.1", port=postgres.port, user="rhcard", password="guess", dbname="postgres"
        )


def test_what_was_committed_survives_a_stop_in_mid_work(
    postgres: Postgres, database_url: str
) -> None:
    told(database_url, "CREATE TABLE card (number int)", "INSERT INTO card VALUES (1)")
    with postgres.connect(database_url.rpartition("/")[2]) as open_one:
        open_one.autocommit = False
        open_one.execute("INSERT INTO card VALUES (2)")
        postgres.stop()
        assert listening(postgres.port) == set()
        with pytest.raises(psycopg.OperationalError):
            open_one.execute("SELECT 1")
    postgres.start()
    assert told(database_url, "SELECT array_agg(number) FROM card") == [1]


def test_a_test_may_leave_the_server_stopped(postgres: Postgres) -> None:
    with postgres.new_database() as first:
        postgres.stop()
    with postgres.new_database() as second:
        assert first != second
        assert told(postgres.url(second), "SELECT 1") == 1


def test_the_careless_server_has_fsync_off(careless_database_url: str) -> None:
    assert told(careless_database_url, "SHOW fsync") == "off"


def test_the_server_ends_with_a_process_that_is_killed(
    postgreses: Postgreses, tmp_path: Path
) -> None:
    told_port = tmp_path / "port"

    def serve() -> None:
        with postgreses.running() as server:
            (tmp_path / "new").write_text(str(server.port))
            (tmp_path / "new").rename(told_port)
            time.sleep(50)

    child = forked(serve)
    wait_until(told_port.exists, 30)
    port = int(told_port.read_text())
    assert listening(port) == LOOPBACK
    os.kill(child, signal.SIGKILL)
    assert exit_code(child) == -signal.SIGKILL
    wait_until(lambda: not listening(port), 20)
