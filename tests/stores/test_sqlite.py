"""What SQLiteStore adds to the contract, in one process: the file, the pool, the purge, and errors for people."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from coatcheck.errors import ConfigurationError, StoreError
from coatcheck.stores import Ended, Record, SQLiteStore, sqlite_pool

NOW = 1_700_000_000.0


def record(expires_at: float = NOW + 1000.0, data: bytes = b"data") -> Record:
    return Record(7, expires_at, NOW, b"meta", data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


# --- the file --------------------------------------------------------------------------------------------------------


def test_constructing_contacts_nothing(tmp_path: Path) -> None:
    """A store can be made for a place that cannot be: it is not contacted before the first verb."""
    SQLiteStore(tmp_path / "missing" / "sessions.db")
    SQLiteStore("/dev/null/sessions.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_the_owner_can_read_the_files(tmp_path: Path, umask: int) -> None:
    """Whatever the umask, the database and its side files are created 0600 and the missing folder 0700."""
    usual = os.umask(umask)
    try:
        folder = tmp_path / "instance"
        store = SQLiteStore(folder / "sessions.db")
        store.create(b"key", record(), NOW)
        assert mode(folder) == "drwx------"
        modes = {file.name: mode(file) for file in folder.iterdir()}
    finally:
        os.umask(usual)
    assert modes == dict.fromkeys(("sessions.db", "sessions.db-wal", "sessions.db-shm"), "-rw-------")


def test_the_file_is_closed_to_others_before_sqlite_opens_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no moment at which the file is there with a mode of the umask's."""
    seen = []
    connect = sqlite3.connect

    def watch(name: str, **options: Any) -> sqlite3.Connection:
        seen.append(mode(path))
        return connect(name, **options)

    monkeypatch.setattr(sqlite3, "connect", watch)
    usual = os.umask(0)
    try:
        SQLiteStore(path).read(b"key", NOW)
    finally:
        os.umask(usual)
    assert seen == ["-rw-------"]


def test_the_mode_of_a_file_that_was_there_is_left_alone(path: Path) -> None:
    """Who made the file beforehand, for a group, say, decides who reads it."""
    path.touch(0o640)
    os.chmod(path, 0o640)
    SQLiteStore(path).create(b"key", record(), NOW)
    assert mode(path) == "-rw-r-----"


def test_it_lasts(path: Path) -> None:
    """Records and tombstones are there for the next store that opens the file."""
    first = SQLiteStore(path)
    first.create(b"live", record(), NOW)
    first.create(b"dead", record(), NOW)
    first.delete(b"dead", NOW, note=b"note")
    first.close()
    second = SQLiteStore(path)
    assert second.read(b"live", NOW) == record()
    assert second.read(b"dead", NOW) == Ended(b"note")


def test_the_journal_is_write_ahead(path: Path) -> None:
    """The file is in WAL mode, which is what lets readers go on beside a writer."""
    SQLiteStore(path).create(b"key", record(), NOW)
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_the_switch_to_write_ahead_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process is setting up the same new file, the store waits for it; SQLite would fail at once."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        other.execute("ROLLBACK")

    monkeypatch.setattr(sqlite_pool, "sleep", wait)
    assert SQLiteStore(path).create(b"key", record(), NOW)
    assert len(waits) == 1
    other.close()


def test_the_switch_to_write_ahead_gives_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file that another program keeps locked is the usual error, after the usual time."""
    monkeypatch.setattr(sqlite_pool, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "is locked by another program" in sentence(path, create)
    other.close()


def test_reading_needs_no_turn_behind_a_writer(path: Path) -> None:
    """A read answers at once while another program is in the middle of a write."""
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM coatcheck_sessions")
    assert store.read(b"key", NOW) == record()
    other.close()


def test_no_verb_leaves_a_transaction_open(path: Path) -> None:
    """After any verb the whole journal can be written back: nothing holds an old state."""
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    store.replace(b"key", record(), 7, NOW)
    store.replace(b"key", record(), 8, NOW)
    store.touch(b"key", NOW + 2000.0, NOW, NOW)
    store.read(b"key", NOW)
    store.delete(b"key", NOW)
    store.purge(NOW, 10)
    other = sqlite3.connect(path, isolation_level=None)
    assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    other.close()


@pytest.mark.parametrize("leave", [["-wal", "-shm"], []], ids=["side files left", "all gone"])
def test_a_deleted_file_is_made_anew(path: Path, leave: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file is deleted while the application runs, the store goes on with a new, empty one."""
    monkeypatch.setattr(sqlite_pool, "LOOK_SECONDS", 0.0)
    store, beside = SQLiteStore(path), SQLiteStore(path)
    for each in (store, beside):
        each.create(b"old", record(), NOW)
    for file in path.parent.iterdir():
        if not any(file.name.endswith(end) for end in leave):
            file.unlink()
    assert store.read(b"old", NOW) is None
    assert store.create(b"new", record(), NOW)
    assert mode(path) == "-rw-------"
    assert beside.read(b"new", NOW) == record()
    assert beside.read(b"old", NOW) is None


def test_a_statement_under_way_when_the_file_is_deleted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was in use while the file was deleted is not used for another statement."""
    monkeypatch.setattr(sqlite_pool, "LOOK_SECONDS", 0.0)
    store = SQLiteStore(path)
    store.create(b"old", record(), NOW)
    in_use = store._pool._take()
    path.unlink()
    store.create(b"new", record(), NOW)
    store._pool._idle.append(in_use)
    assert store.read(b"new", NOW) == record()
    assert in_use not in store._pool._open


def test_it_looks_for_the_file_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deletion is noticed when the next look is due, not before, so that a read stays cheap."""
    time = [5000.0]
    monkeypatch.setattr(sqlite_pool, "monotonic", lambda: time[0])
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    path.unlink()
    assert store.read(b"key", NOW) == record()
    time[0] += sqlite_pool.LOOK_SECONDS
    assert store.read(b"key", NOW) is None
    assert sqlite_pool.LOOK_SECONDS == 1.0


# --- the pool --------------------------------------------------------------------------------------------------------


class Watched:
    """A connection that counts, and waits in each statement until ``line`` is full."""

    def __init__(self, connection: sqlite3.Connection, line: threading.Barrier, closed: list[Watched]) -> None:
        self._connection, self._line, self._closed = connection, line, closed

    def execute(self, sql: str, values: Any) -> sqlite3.Cursor:
        self._line.wait()
        return self._connection.execute(sql, values)

    def close(self) -> None:
        self._closed.append(self)
        self._connection.close()


def test_the_pool_grows_with_the_need_and_keeps_eight(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve threads that read at the same time get a connection each; eight are kept, four closed."""
    line, opened, closed = threading.Barrier(12), [], []
    real = sqlite_pool._open

    def open_watched(name: str, schema: str) -> Watched:
        opened.append(Watched(real(name, schema), line, closed))
        return opened[-1]

    monkeypatch.setattr(sqlite_pool, "_open", open_watched)
    store = SQLiteStore(path)
    threads = [threading.Thread(target=store.read, args=(b"key", NOW)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), len(closed)) == (12, 4)
    store.close()
    assert len(closed) == 12


def test_one_thread_uses_one_connection(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that was given back last is taken first: one caller needs one, however many verbs it calls."""
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: opened.append(a) or connect(*a, **k))
    store = SQLiteStore(path)
    for n in range(20):
        store.create(b"%d" % n, record(), NOW)
        store.read(b"%d" % n, NOW)
    assert len(opened) == 1


def test_close_closes_and_the_store_stays_usable(path: Path) -> None:
    """After close the journal has been written back and is gone; the next verb opens the file again."""
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    assert Path(f"{path}-wal").exists()
    store.close()
    assert not Path(f"{path}-wal").exists()
    assert store.read(b"key", NOW) == record()


def test_a_store_that_nobody_holds_is_closed(path: Path) -> None:
    """A store that is dropped closes its connections, so that no ResourceWarning is left to the application."""
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    del store
    gc.collect()
    assert not Path(f"{path}-wal").exists()


# --- purge -----------------------------------------------------------------------------------------------------------


def rows(path: Path) -> int:
    other = sqlite3.connect(path)
    (count,) = other.execute("SELECT count(*) FROM coatcheck_sessions").fetchone()
    other.close()
    return int(count)


def test_purge_goes_in_batches(path: Path) -> None:
    """Of 250 dead records purge removes as many as it is told each time, until none is left."""
    store = SQLiteStore(path)
    for n in range(250):
        store.create(b"dead %d" % n, record(expires_at=NOW + 1.0), NOW)
    store.create(b"live", record(), NOW)
    assert [store.purge(NOW + 1.0, 100) for _ in range(4)] == [100, 100, 50, 0]
    assert rows(path) == 1


def test_purge_passes_what_was_kept_alive(path: Path) -> None:
    """Records kept alive by touches are passed over, however many, and go when they have really expired."""
    store = SQLiteStore(path)
    for n in range(30):
        store.create(b"touched %d" % n, record(expires_at=NOW + 1.0), NOW)
        store.touch(b"touched %d" % n, NOW + 50.0, NOW, NOW)
    store.create(b"dead", record(expires_at=NOW + 2.0), NOW)
    assert [store.purge(NOW + 3.0, 10) for _ in range(2)] == [1, 0]
    assert rows(path) == 30
    assert [store.purge(NOW + 50.0, 20) for _ in range(3)] == [20, 10, 0]
    assert rows(path) == 0


def test_purge_looks_at_each_living_record_once(path: Path) -> None:
    """A record that purge found alive is not looked at again before its expiry, so that no batch grows."""
    store = SQLiteStore(path)
    store.create(b"key", record(expires_at=NOW + 1.0), NOW)
    store.touch(b"key", NOW + 50.0, NOW, NOW)
    store.purge(NOW + 3.0, 10)
    other = sqlite3.connect(path)
    assert other.execute("SELECT purge_at FROM coatcheck_sessions").fetchall() == [(NOW + 50.0,)]
    other.close()


def test_purge_looks_at_a_new_record_in_its_own_time(path: Path) -> None:
    """A record created where another had expired is not looked at before its own expiry."""
    store = SQLiteStore(path)
    store.create(b"key", record(expires_at=NOW + 1.0), NOW)
    store.create(b"key", record(expires_at=NOW + 50.0), NOW + 1.0)
    other = sqlite3.connect(path)
    assert other.execute("SELECT purge_at FROM coatcheck_sessions").fetchall() == [(NOW + 50.0,)]
    other.close()


def test_purge_uses_its_index(path: Path) -> None:
    """purge finds what is due without going through the whole table."""
    SQLiteStore(path).read(b"key", NOW)
    other = sqlite3.connect(path)
    select = "SELECT key FROM coatcheck_sessions WHERE purge_at <= 1 ORDER BY purge_at LIMIT 1"
    plan = " ".join(str(row[3]) for row in other.execute(f"EXPLAIN QUERY PLAN {select}"))
    other.close()
    assert plan == "SEARCH coatcheck_sessions USING COVERING INDEX coatcheck_sessions_purge_at (purge_at<?)"


# --- errors ----------------------------------------------------------------------------------------------------------


def sentence(path: Path, verb: Callable[[SQLiteStore], object]) -> str:
    """The sentence a verb fails with."""
    with pytest.raises(StoreError) as caught:
        verb(SQLiteStore(path))
    message = str(caught.value)
    assert message.startswith(f"The session database {path} ")
    assert b"key".hex() not in message
    return message


def create(store: SQLiteStore) -> bool:
    return store.create(b"key", record(), NOW)


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_name_that_is_no_file(name: str) -> None:
    """A database without a file would be another one for each connection: it is refused."""
    with pytest.raises(ConfigurationError, match=rf"needs the name of a file, not '{name}'.*MemoryStore\(\)"):
        SQLiteStore(name)


def test_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another program keeps locked is an error that says so; afterwards all is well again."""
    monkeypatch.setattr(sqlite_pool, "BUSY_SECONDS", 0.05)
    store = SQLiteStore(path)
    store.read(b"key", NOW)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    message = sentence(path, create)
    assert re.search(r"is locked by another program, for longer than 5 s: end that program", message)
    other.execute("ROLLBACK")
    other.close()
    assert create(store)


def test_locked_while_many_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait behind one that waits for the file give up as well, and not one after another."""
    monkeypatch.setattr(sqlite_pool, "BUSY_SECONDS", 0.4)
    store = SQLiteStore(path)
    store.read(b"key", NOW)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes: list[str] = []

    def try_to_write() -> None:
        try:
            create(store)
        except StoreError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=try_to_write) for _ in range(12)]
    begun = monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monotonic() - begun < 3.6  # one after another it would be 4.8
    assert len(outcomes) == 12
    assert all("is locked by another program" in outcome for outcome in outcomes)
    other.close()


def test_not_a_database(path: Path) -> None:
    """A file that is something else is an error that says so, and stays as it is."""
    path.write_bytes(b"Dear diary, today I wrote a session library. " * 100)
    assert sentence(path, create).endswith("is not an SQLite database: name another file, or move this one away.")
    assert path.read_bytes().startswith(b"Dear diary")


def test_damaged(path: Path) -> None:
    """A damaged database is an error that says what to move away."""
    store = SQLiteStore(path)
    for n in range(200):
        store.create(b"%d" % n, record(data=b"x" * 200), NOW)
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert "is damaged: move it away, with its -wal and -shm files" in sentence(path, create)


def test_disk_full(path: Path) -> None:
    """A full disk is an error that says so; what could not be stored is not there."""
    store = SQLiteStore(path)
    store.read(b"key", NOW)
    (connection,) = store._pool._idle
    connection.execute("PRAGMA max_page_count = 10")  # SQLite's own way to run out of room
    with pytest.raises(StoreError, match=rf"^The session database {re.escape(str(path))} cannot grow, because the"):
        store.create(b"key", record(data=b"x" * 100_000), NOW)
    assert store.read(b"key", NOW) is None


def test_a_folder(tmp_path: Path) -> None:
    """A folder in the place of the file is an error that says it must be a file."""
    assert "cannot be opened: it must be a file" in sentence(tmp_path, create)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    """A file in the place of the folder is an error that names the folder."""
    (tmp_path / "instance").write_text("")
    message = sentence(tmp_path / "instance" / "sessions.db", create)
    assert "cannot be made (File exists)" in message
    assert message.endswith(f"make files in {tmp_path / 'instance'}.")


def test_another_table_of_that_name(path: Path) -> None:
    """A table of our name that is not ours is an error with SQLite's own words."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE coatcheck_sessions (something INTEGER)")
    other.commit()
    other.close()
    assert "does not work: no such column: purge_at" in sentence(path, create)


def test_a_failure_costs_the_connection_and_nothing_else(path: Path) -> None:
    """After an error the next verb has a new connection, and works as soon as the file does."""
    path.write_bytes(b"no database" * 500)
    store = SQLiteStore(path)
    with pytest.raises(StoreError):
        create(store)
    path.unlink()
    assert create(store)
    assert store.read(b"key", NOW) == record()


def test_a_purge_is_bounded_and_finds_what_is_dead(tmp_path: Path) -> None:
    """However many records were touched since it last looked, a purge removes the dead behind them, and puts off no
    more of the living than five for each that it may remove: a visitor waits for it."""
    store = SQLiteStore(tmp_path / "sessions.db")
    for number in range(40):
        store.create(b"key %d" % number, record(), NOW)
        store.touch(b"key %d" % number, record().expires_at + 1000, NOW, NOW)
    store.create(b"dead", record(record().expires_at + 1), NOW)
    later = record().expires_at + 1
    due = "SELECT count(*) FROM coatcheck_sessions WHERE purge_at <= ?"
    assert store.purge(later, 1) == 1
    assert store._pool.run(due, (later,)) == (35,)
    assert store.purge(later, 1) == 0
    assert store._pool.run(due, (later,)) == (30,)


def test_a_purge_is_quick_beside_many_that_live(tmp_path: Path) -> None:
    """What a purge passes over it only reads: by the steps that SQLite takes, a few for each record."""
    store = SQLiteStore(tmp_path / "sessions.db")
    for number in range(2000):
        store.create(b"key %d" % number, record(), NOW)
        store.touch(b"key %d" % number, record().expires_at + 1000, NOW, NOW)
    (connection,) = store._pool._idle
    ticks: list[None] = []
    connection.set_progress_handler(lambda: ticks.append(None), 100)
    assert store.purge(record().expires_at + 1, 1) == 0
    assert len(ticks) * 100 < 2000 * 30
