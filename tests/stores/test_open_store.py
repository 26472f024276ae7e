"""open_store reads store URLs, and a wrong one is a sentence that says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from coatcheck.errors import ConfigurationError
from coatcheck.stores import MemoryStore, Record, SQLiteStore, open_store

RECORD = Record(1, 100.0, 1.0, b"", b"data")


def test_memory() -> None:
    """``memory:`` is a MemoryStore of its own each time."""
    one, other = open_store("memory:"), open_store("MEMORY:")
    assert isinstance(one, MemoryStore)
    assert one.create(b"key", RECORD, 1.0)
    assert other.read(b"key", 1.0) is None


def test_sqlite_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``sqlite:///`` and a name is a file in the working directory as it was when the store was made."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///sub/sessions.db")
    monkeypatch.chdir("/")
    assert isinstance(store, SQLiteStore)
    assert not (tmp_path / "sub").exists()  # opening a store contacts nothing
    assert store.create(b"key", RECORD, 1.0)
    assert (tmp_path / "sub" / "sessions.db").is_file()


def test_sqlite_absolute(tmp_path: Path) -> None:
    """``sqlite:////`` and a path is that absolute path."""
    store = open_store(f"sqlite:///{tmp_path}/sessions.db")
    assert store.create(b"key", RECORD, 1.0)
    assert (tmp_path / "sessions.db").is_file()


def test_the_prefix_is_passed_on(tmp_path: Path) -> None:
    """A key prefix given to open_store separates records in the same file."""
    url = f"sqlite:///{tmp_path}/sessions.db"
    assert open_store(url, "a:").create(b"key", RECORD, 1.0)
    assert open_store(url, "b:").read(b"key", 1.0) is None
    assert open_store(url).read(b"a:key", 1.0) == RECORD


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@localhost:6379/0",
        "rediss://user:secret@h",
        "valkey://h/secret",
        "redis+sentinel://h1,h2/secret",
        "redis+cluster://h1,h2?password=secret",
        "memcached://secret",
        "mongodb://user:secret@h",
        "postgresql://user:secret@h/db",
        "postgresql+psycopg://user:secret@h/db",
        "mysql+pymysql://user:secret@h/db",
        "mariadb://user:secret@h/db",
        "dynamodb://secret?region=eu-west-1",
        "cookie:",
    ],
)
def test_a_store_of_a_later_version(url: str) -> None:
    """A store that this version has not is an error that names the scheme and what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    message = str(caught.value)
    assert message.startswith(f"The store '{url.split(':')[0]}:' is not in this version of coatcheck: write ")
    assert "'sqlite:///sessions.db'" in message
    assert "'memory:'" in message
    assert "secret" not in message


@pytest.mark.parametrize("url", ["oracle://user:secret@h/db", "user:secret@localhost", "https://secret"])
def test_an_unknown_store(url: str) -> None:
    """An unknown scheme is an error with the list of those there are, and without the rest of the URL."""
    with pytest.raises(ConfigurationError, match=r"^There is no store '\w+:': write 'sqlite:///sessions.db'") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "secret", "secret.db", "/var/lib/secret.db", "://secret", "3redis://secret"])
def test_no_scheme(url: str) -> None:
    """Something without a scheme is an error that shows how a store URL looks, and does not repeat what it was."""
    with pytest.raises(ConfigurationError, match=r"^This store URL has no scheme: write 'sqlite:///sess") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:secret.db",
        "sqlite:/secret.db",
        "sqlite://secret.db",
        "sqlite://user:secret@h/x.db",
        "sqlite:///:memory:",
        "sqlite:///sessions.db?timeout=secret",
    ],
)
def test_sqlite_malformed(url: str) -> None:
    """A malformed SQLite URL is an error that shows both right forms."""
    with pytest.raises(ConfigurationError, match=r"^A URL of the SQLite store is 'sqlite:///', the name") as caught:
        open_store(url)
    assert "'sqlite:////var/lib/app/sessions.db' (absolute)" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["memory://", "memory:x", "memory://user:secret@h"])
def test_memory_malformed(url: str) -> None:
    """Nothing follows the colon of ``memory:``."""
    with pytest.raises(ConfigurationError, match=r"^The URL of the memory store .* write 'memory:'\.$"):
        open_store(url)
