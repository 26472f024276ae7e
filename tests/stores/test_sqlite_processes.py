"""SQLiteStore among processes: forks, many workers on one file, other users, and a worker that is killed."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coatcheck.errors import StoreError
from coatcheck.stores import Conflict, Record, SQLiteStore, sqlite_pool

from .children import Child, unprivileged

NOW = 1_700_000_000.0

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system"),
    # Python 3.12 warns of any fork beside threads; to fork beside threads is what some of these tests are about.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]


def record(data: bytes = b"data", version: int = 7) -> Record:
    return Record(version, NOW + 1000.0, NOW, b"meta", data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


def names(path: Path) -> list[bytes]:
    """The keys in a file that must be in order, read by SQLite alone."""
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    keys = [row[0] for row in other.execute("SELECT key FROM coatcheck_sessions ORDER BY key")]
    other.close()
    return keys


class Gate:
    """Holds processes back until one that does not wait opens it, and then lets all of them go at the same time.

    A pipe that nobody writes to: whoever waits reads its end, which comes when the last process has closed the other.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def open(self) -> None:
        os.close(self._write)

    def wait(self) -> None:
        os.close(self._write)
        os.read(self._read, 1)
        os.close(self._read)


# --- forks -----------------------------------------------------------------------------------------------------------


def test_what_a_child_commits_outlives_its_parents_connections(path: Path) -> None:
    """A child's commits stay although the parent, which had the file open when it forked, closes it first.

    With connections that are open across the fork they vanish: SQLite's howtocorrupt.html, section 2.6.
    """
    store = SQLiteStore(path)
    store.create(b"1 parent, before", record(), NOW)
    begun, closed = Gate(), Gate()

    def child() -> bool:
        store.create(b"2 child, before", record(), NOW)
        begun.open()
        closed.wait()
        return store.create(b"4 child, after", record(), NOW)

    running = Child(child)
    begun.wait()
    store.create(b"3 parent, after", record(), NOW)
    store.close()
    closed.open()
    assert running.result() is True
    assert names(path) == [b"1 parent, before", b"2 child, before", b"3 parent, after", b"4 child, after"]


def test_no_connection_is_open_across_a_fork(path: Path) -> None:
    """A child has none of its parent's connections, and the parent goes on with new ones."""
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    assert len(store._pool._open) == 1
    child = Child(lambda: [len(store._pool._open), store.read(b"key", NOW) == record()])
    assert child.result() == [0, True]
    assert store.read(b"key", NOW) == record()


def test_forks_beside_busy_threads(path: Path) -> None:
    """Twenty forks beside four threads that write all the time: nobody hangs, fails or loses a record."""
    store = SQLiteStore(path)
    done = threading.Event()
    written: list[bytes] = []
    failed: list[StoreError] = []

    def write(name: int) -> None:
        number = 0
        while not done.is_set():
            key = b"thread %d %d" % (name, number)
            try:
                store.create(key, record(), NOW)
            except StoreError as error:
                failed.append(error)
                return
            written.append(key)
            number += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for n in range(20):
            key = b"child %d" % n
            assert Child(lambda key=key: store.create(key, record(), NOW)).result() is True
            written.append(key)
    finally:
        done.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert names(path) == sorted(written)


def test_a_child_that_forks_before_it_uses_the_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of a child has connections of its own, and its fork does not wait for what its parent held to fork."""
    monkeypatch.setattr(sqlite_pool, "BUSY_SECONDS", 120.0)  # longer than a child may take here
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    assert Child(lambda: Child(lambda: store.create(b"grandchild", record(), NOW)).result()).result() is True
    assert store.read(b"grandchild", NOW) == record()


def test_a_child_forked_without_python(path: Path) -> None:
    """Where a server forks without telling Python, a child leaves its parent's connections alone and opens its own."""
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    (parents,) = store._pool._open

    def child() -> list[bool]:
        read = store.read(b"key", NOW) == record()
        return [read, store.create(b"new", record(), NOW), parents in store._pool._open, _is_open(parents)]

    assert Child(child, fork=ctypes.PyDLL(None).fork).result() == [True, True, False, True]
    assert store.read(b"new", NOW) == record()


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018 - it raises if the connection is closed, and touches no file
    except sqlite3.ProgrammingError:
        return False
    return True


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_the_end_of_a_store_in_such_a_child(path: Path, how: str) -> None:
    """A child forked without telling Python that closes or drops the store leaves its parent's connections alone."""
    stores = [SQLiteStore(path)]
    stores[0].create(b"key", record(), NOW)

    def child() -> list[int | bool]:
        before = _connections()
        if how == "closed":
            stores[0].close()
        stores.clear()
        return [before, _connections(), Path(f"{path}-wal").exists()]

    before, after, journal = Child(child, fork=ctypes.PyDLL(None).fork).result()
    assert after == before > 0
    assert journal


def _connections() -> int:
    gc.collect()
    return sum(type(thing) is sqlite3.Connection for thing in gc.get_objects())


# --- many processes --------------------------------------------------------------------------------------------------


def count(path: str, times: int) -> int:
    """Add one to the counter in the record ``b"counter"``, so many times; the store's whole life is here."""
    store = SQLiteStore(path)
    store.create(b"counter", record(b"0", version=0), NOW)
    current = store.read(b"counter", NOW)
    done = 0
    while done < times:
        assert isinstance(current, Record)
        number = int(current.data) + 1
        new = record(b"%d" % number, version=number)
        outcome = store.replace(b"counter", new, current.version, NOW)
        done += outcome is True
        current = outcome.current if isinstance(outcome, Conflict) else new
    return done


def test_processes_that_start_at_once_count_exactly(path: Path) -> None:
    """Four new processes that make the file, the table and the record together, and count to 150 each, reach 600."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.starmap(count, [(str(path), 150)] * 4, chunksize=1) == [150] * 4
    final = SQLiteStore(path).read(b"counter", NOW)
    assert final == record(b"600", version=600)


def test_processes_that_open_a_new_file_at_once(path: Path) -> None:
    """Six processes whose first verbs meet on a missing file all succeed, ten times over."""
    for n in range(10):
        fresh = path.with_name(f"{n}.db")
        gate = Gate()

        def first_verb(name: int, fresh: Path = fresh, gate: Gate = gate) -> bool:
            store = SQLiteStore(fresh)
            gate.wait()
            return store.create(b"%d" % name, record(), NOW)

        children = [Child(lambda name=name, first_verb=first_verb: first_verb(name)) for name in range(6)]
        gate.open()
        assert [child.result() for child in children] == [True] * 6
        assert len(names(fresh)) == 6


def test_a_deleted_file_while_another_process_has_it_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only the database is deleted, its side files left, each process still arrives at the same new file."""
    monkeypatch.setattr(sqlite_pool, "LOOK_SECONDS", 0.0)
    opened, deleted = Gate(), Gate()

    def child() -> list[bool]:
        store = SQLiteStore(path)
        store.create(b"old", record(), NOW)
        opened.open()
        deleted.wait()
        return [store.read(b"old", NOW) is None, store.read(b"new", NOW) == record()]

    running = Child(child)
    opened.wait()
    path.unlink()
    assert SQLiteStore(path).create(b"new", record(), NOW)
    deleted.open()
    assert running.result() == [True, True]
    assert names(path) == [b"new"]


def test_what_was_committed_survives_a_killed_worker(path: Path) -> None:
    """Every record whose create has returned is there after kill -9, and the file is in order."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        store = SQLiteStore(path)
        for n in range(10_000):
            store.create(b"%05d" % n, record(), NOW)
            os.write(write, b"%05d" % n)
            if n == 500:
                os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    os.waitpid(pid, 0)
    with open(read, "rb") as pipe:
        told = pipe.read()
    assert len(told) == 501 * 5
    store = SQLiteStore(path)
    assert all(store.read(told[n : n + 5], NOW) == record() for n in range(0, len(told), 5))
    assert len(names(path)) == 501


# --- other users -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can reach: pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def sentence(verb: Callable[[], object]) -> str:
    """The sentence a verb fails with when nobody in particular calls it."""

    def call() -> str:
        try:
            return f"no error, but {verb()!r}"
        except StoreError as error:
            return str(error)

    return str(Child(unprivileged(call)).result())


def test_a_read_only_file(shared: Path) -> None:
    """A file that the process may only read is an error that says so, with what to do; what can be read is read."""
    path = shared / "sessions.db"
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    store.close()
    path.chmod(0o444)
    shared.chmod(0o777)
    assert sentence(lambda: SQLiteStore(path).create(b"new", record(), NOW)) == (
        f"The session database {path} is read-only for this process: let the user it runs as write to the file "
        "and its folder, and to its -wal and -shm files if there are any."
    )
    assert Child(unprivileged(lambda: SQLiteStore(path).read(b"key", NOW) == record())).result() is True


def test_a_file_that_is_read_only_for_a_while(shared: Path) -> None:
    """Once the process may write to the file it does, without a restart."""
    path = shared / "sessions.db"
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    store.close()
    path.chmod(0o444)
    shared.chmod(0o777)
    failed, repaired = Gate(), Gate()

    def child() -> list[bool]:
        store = SQLiteStore(path)
        with pytest.raises(StoreError, match="is read-only"):
            store.create(b"new", record(), NOW)
        failed.open()
        repaired.wait()
        return [store.create(b"new", record(), NOW)]

    running = Child(unprivileged(child))
    failed.wait()
    for file in shared.iterdir():
        file.chmod(0o666)
    repaired.open()
    assert running.result() == [True]


def test_a_read_only_file_in_a_read_only_folder(shared: Path) -> None:
    """A database whose side files cannot be made is the same error: the folder must be writable as well."""
    path = shared / "sessions.db"
    store = SQLiteStore(path)
    store.create(b"key", record(), NOW)
    store.close()
    path.chmod(0o444)
    shared.chmod(0o555)
    for verb in (store.read, store.delete):
        assert sentence(lambda verb=verb: verb(b"key", NOW)) == (
            f"The session database {path} is read-only for this process: let the user it runs as write to the file "
            "and its folder, and to its -wal and -shm files if there are any."
        )


def test_a_file_of_somebody_else(shared: Path) -> None:
    """A file that only another user may read is the same error: 0600 means what it says."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a file of another user")
    path = shared / "sessions.db"
    SQLiteStore(path).create(b"key", record(), NOW)
    shared.chmod(0o777)
    assert "cannot be opened: it must be a file that the user" in sentence(lambda: SQLiteStore(path).read(b"key", NOW))


@pytest.mark.parametrize("missing", [False, True], ids=["folder is there", "folder is missing"])
def test_an_unwritable_folder(shared: Path, missing: bool) -> None:
    """A file that cannot be made is an error that names the folder."""
    shared.chmod(0o555)
    folder = shared / "instance" if missing else shared
    assert sentence(lambda: SQLiteStore(folder / "sessions.db").read(b"key", NOW)) == (
        f"The session database {folder / 'sessions.db'} cannot be made (Permission denied): "
        f"let the user this process runs as make files in {folder}."
    )
