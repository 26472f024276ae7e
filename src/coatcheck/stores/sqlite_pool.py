"""The connections of one process to one SQLite file: how they are opened, shared by threads, and kept out of forks."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

from coatcheck.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows, where a file in use cannot be deleted, which is all that we need it for
    fcntl = None  # type: ignore[assignment]

#: How long a statement waits for another program that holds the file, in seconds.
BUSY_SECONDS = 5.0
#: How many connections a process keeps while nobody uses them.
IDLE_CONNECTIONS = 8
#: How often a process looks whether the file has been deleted or exchanged, in seconds.
LOOK_SECONDS = 1.0

_SENTENCES = {
    sqlite3.SQLITE_BUSY: f"is locked by another program, for longer than {BUSY_SECONDS:g} s: end that program "
    "(a database browser in a transaction, a backup), or give the sessions a file of their own",
    sqlite3.SQLITE_READONLY: "is read-only for this process: let the user it runs as write to the file and its folder, "
    "and to its -wal and -shm files if there are any",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: it must be a file that the user this process runs as may read and "
    "write, in a folder where that user may make files",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database: name another file, or move this one away",
    sqlite3.SQLITE_CORRUPT: "is damaged: move it away, with its -wal and -shm files; every session in it has ended",
    sqlite3.SQLITE_FULL: "cannot grow, because the disk is full: make room",
}

_FileId = tuple[int, int]  # device and inode
_Values = tuple[Any, ...] | dict[str, Any]


class SQLitePool:
    """This process's connections to the file: one thread at a time, last in first out, never across a fork.

    SQLite keeps the locks of a process in its own memory. A child inherits that memory but not the locks: whatever it
    opens then seems protected, and what it commits vanishes with the parent's last connection
    (https://sqlite.org/howtocorrupt.html section 2.6). So all are closed *before* a fork, none only after it.

    :param path: the file, absolute; it and its folder are made when the first connection is.
    :param schema: statements that make the tables where they are missing.
    """

    def __init__(self, path: str, schema: str) -> None:
        self.path = path
        self._schema = schema
        self._start()
        _POOLS.add(self)

    def _start(self) -> None:
        self._pid = os.getpid()
        # No lock guards these: each is changed by single steps of list and dict, which are atomic.
        self._idle: list[sqlite3.Connection] = []
        self._open: dict[sqlite3.Connection, _FileId | None] = {}
        self._file: _FileId | None = None  # connections to any other are closed when their turn comes
        self._look_at = 0.0
        self._connecting = threading.Lock()
        self._forking = False
        # Threads that write take turns: SQLite would let them sleep, up to 100 ms, before they look again.
        # (32 threads that write every ms: the slowest percent takes 2.3 ms instead of 20.)
        self._writing = threading.Lock()
        weakref.finalize(self, _close_all, self._pid, self._idle)

    def run(self, sql: str, values: _Values) -> Any:
        """Return the first row that a SELECT finds, or None; of another statement, how many rows it changed.

        :raises StoreError: if the file cannot be used; its sentence says why and what to do.
        """
        if os.getpid() != self._pid:
            self._start_in_child()
        if monotonic() >= self._look_at:
            self._look()
        connection = self._take()
        try:
            cursor = connection.execute(sql, values)
            result = cursor.fetchone() if cursor.description else cursor.rowcount
        except sqlite3.Error as error:
            self._retire(connection)  # the next one may find the file in a better state
            raise self._error(error) from error
        except BaseException:
            self._retire(connection)
            raise
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            self._retire(connection)
        return result

    def write(self, sql: str, values: _Values) -> int:
        """Run one writing statement, in a transaction of its own, when it is this thread's turn.

        :raises StoreError: as :meth:`run`. SQLite has then rolled the statement back.
        """
        if os.getpid() != self._pid:
            self._start_in_child()
        if not self._writing.acquire(timeout=BUSY_SECONDS):
            raise self._error(sqlite3.SQLITE_BUSY)
        try:
            changed: int = self.run(sql, values)
            return changed
        finally:
            self._writing.release()

    def _take(self) -> sqlite3.Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            if self._open[connection] == self._file:
                return connection
            self._retire(connection)

    def _retire(self, connection: sqlite3.Connection) -> None:
        connection.close()
        del self._open[connection]

    def _look(self) -> None:
        self._look_at = monotonic() + LOOK_SECONDS
        if self._file is not None and _file_id(self.path) != self._file:
            self.close()

    def _connect(self) -> sqlite3.Connection:
        if not self._connecting.acquire(timeout=BUSY_SECONDS):
            raise self._error(sqlite3.SQLITE_BUSY)
        try:
            _make_file(self.path)
            file = _file_id(self.path)
            if file != self._file:
                self.close()
                self._file = file
            connection = _open(self.path, self._schema)
            self._open[connection] = file
            return connection
        except OSError as error:
            raise StoreError(
                f"The session database {self.path} cannot be made ({error.strerror}): "
                f"let the user this process runs as make files in {os.path.dirname(self.path)}."
            ) from error
        except sqlite3.Error as error:
            raise self._error(error) from error
        finally:
            self._connecting.release()

    def _error(self, problem: sqlite3.Error | int) -> StoreError:
        code = problem if isinstance(problem, int) else getattr(problem, "sqlite_errorcode", 0)
        what = _SENTENCES.get(code & 0xFF, f"does not work: {problem}")  # the upper bits are details
        return StoreError(f"The session database {self.path} {what}.")

    def close(self) -> None:
        """Close the connections: the idle ones now, those in use when their turn comes."""
        if os.getpid() != self._pid:
            self._start_in_child()
        self._file = None
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            with contextlib.suppress(IndexError):
                self._retire(self._idle.pop())

    def before_fork(self) -> None:
        """Let nobody connect, and close what there is, waiting for the statements under way."""
        if os.getpid() != self._pid:
            self._start_in_child()
        self._forking = self._connecting.acquire(timeout=BUSY_SECONDS)
        deadline = monotonic() + BUSY_SECONDS
        self._close_idle()
        while self._open and monotonic() < deadline:
            sleep(0.001)
            self._close_idle()

    def after_fork_in_parent(self) -> None:
        """Let them connect again."""
        if self._forking:
            self._forking = False
            self._connecting.release()

    def _start_in_child(self) -> None:
        """Begin anew, since the locks may be held by threads that are not here.

        What is open all the same, because a server (uWSGI) forked without Python's knowledge, is kept for ever, unused:
        closing it here, which being collected would do as well, could take the files away under the parent's.
        """
        _INHERITED.append(self._open)
        self._start()


def _file_id(path: str) -> _FileId | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _make_file(path: str) -> None:
    """Make the file if it is missing, for its owner only: SQLite would leave its mode to the umask.

    A deleted database may have left its ``-wal`` and ``-shm``. SQLite would share the latter with processes that still
    have the deleted one open, and fail; so they go first. They are looked for before the database is, because those
    of one that another process makes meanwhile come after it.
    """
    leftovers = [name for name in (f"{path}-wal", f"{path}-shm") if os.path.exists(name)]
    if os.path.exists(path):
        return
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with _turn(folder) if leftovers else contextlib.nullcontext():
        if os.path.exists(path):
            return
        for name in leftovers:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


@contextlib.contextmanager
def _turn(folder: str) -> Iterator[None]:
    """One process at a time, where the file system can lock a folder."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(path: str, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL. Where others are at it too SQLite fails at once, without waiting; so we wait."""
    deadline = monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(0.005)


def _close_all(pid: int, connections: list[sqlite3.Connection]) -> None:
    """Close what a collected pool, or the end of the process, leaves behind; but never a parent's connections."""
    if os.getpid() != pid:
        _INHERITED.append(connections)
        return
    while connections:
        connections.pop().close()


_POOLS: weakref.WeakSet[SQLitePool] = weakref.WeakSet()
_INHERITED: list[object] = []


def _before_fork() -> None:
    for pool in list(_POOLS):
        pool.before_fork()


def _after_fork_in_parent() -> None:
    for pool in list(_POOLS):
        pool.after_fork_in_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
