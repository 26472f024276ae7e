"""DESIGN §6, "Keys"."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from coatcheck.codec import decode
from coatcheck.crypto import keyring, sealing
from coatcheck.crypto.keyring import Key, Keyring
from coatcheck.crypto.sealing import Purpose, Sealer
from coatcheck.errors import ConfigurationError
from coatcheck.stores import Record
from coatcheck.testing import Clock
from tests.fine_print.website import SECRET, Answer, KeyedStore, Website, keep, who

NEW = "a newer secret key that is long enough for a test"
OLD = "an older secret key that is long enough for a test"

SERVER: dict[str, Any] = {"SESSION_SEAL": "server"}


def set_keys(site: Website, newest: str | bytes, *fallbacks: str | bytes) -> None:
    """Change the keys of a running application, as Flask lets it."""
    site.app.config.update(SECRET_KEY=newest, SECRET_KEY_FALLBACKS=list(fallbacks))


def record_of(site: Website, visitor: Answer) -> Record:
    record = site.store.store.read(site.key(visitor.cookie), site.clock())
    assert isinstance(record, Record)
    return record


def key_id(secret: str) -> bytes:
    return Key(secret.encode()).id


@pytest.fixture
def visitor(site: Website) -> Answer:
    """Somebody with a session, from before the keys change."""
    return site.visit(lambda session: (session.login("ann"), session.update(a=1)))


@pytest.fixture
def opened_with(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The key of each decryption of session data, from now on."""
    used: list[bytes] = []

    class Counting:
        def __init__(self, key: bytes) -> None:
            self.key, self.cipher = key, AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
            return self.cipher.encrypt(nonce, data, associated)

        def decrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
            used.append(self.key)
            return self.cipher.decrypt(nonce, data, associated)

    monkeypatch.setattr(sealing, "AESGCM", Counting)
    return used


# Key ids


@pytest.mark.parametrize("config", [{}, SERVER], ids=["token", "server"])
def test_a_record_names_the_key_id_it_was_sealed_with(store: KeyedStore, clock: Clock, config: dict[str, Any]) -> None:
    """A record names the key id it was sealed with, in its data and in its meta."""
    site = Website(store, clock, **config)
    record = record_of(site, site.visit(lambda session: session.login("ann")))
    assert record.data[1:5] == record.meta[1:5] == key_id(SECRET)


@pytest.mark.parametrize("fallbacks", [[], [OLD, SECRET], [SECRET, OLD]])
def test_one_key_is_chosen_never_trial_and_error(
    site: Website, visitor: Answer, opened_with: list[bytes], fallbacks: list[str]
) -> None:
    """One key is chosen by it, never trial and error: a request opens its record once, whichever key it is under."""
    if fallbacks:
        set_keys(site, NEW, *fallbacks)
    assert site.look(visitor.cookie) == {"a": 1}
    assert len(opened_with) == 1


def test_an_unknown_key_opens_nothing(site: Website, visitor: Answer, opened_with: list[bytes]) -> None:
    """… never trial and error: a record under an unknown key is not tried with the others."""
    set_keys(site, NEW, OLD)
    assert site.look(visitor.cookie) == {}
    assert opened_with == []


# An older key


def test_opened_under_an_older_key(site: Website, visitor: Answer) -> None:
    """Opened under an older key, it is sealed with the newest at its next write, its meta too."""
    set_keys(site, NEW, OLD, SECRET)
    assert site.visit(keep(a=2), visitor.cookie).cookie == visitor.cookie
    record = record_of(site, visitor)
    assert record.data[1:5] == record.meta[1:5] == key_id(NEW)
    set_keys(site, NEW)  # the old key can go now
    assert site.look(visitor.cookie) == {"a": 2}


def test_unchanged_is_unwritten_under_an_older_key(site: Website, visitor: Answer) -> None:
    """… at its next write: to read it under an older key writes nothing (law 5)."""
    before = record_of(site, visitor)
    set_keys(site, NEW, SECRET)
    assert site.calls(dict, visitor.cookie) == ["read"]
    assert record_of(site, visitor) == before


@pytest.mark.parametrize("order", [(NEW, SECRET), (SECRET, NEW)])
def test_new_sessions_are_sealed_with_the_newest(site: Website, order: tuple[str, str]) -> None:
    """The newest seals, all of them open (CVE-2025-47278 in Flask 3.1.0: the order was the other way round)."""
    set_keys(site, *order)
    assert record_of(site, site.visit(keep(a=1))).data[1:5] == key_id(order[0])


def test_keys_may_change_between_two_requests(site: Website, visitor: Answer) -> None:
    """The keys are the application's at each request; changed between two, the next one already uses the new ones."""
    for newest, *fallbacks in ((NEW, SECRET), (OLD, NEW), (SECRET, OLD)):
        set_keys(site, newest, *fallbacks)
        assert site.look(site.visit(keep(a=newest), visitor.cookie).cookie) == {"a": newest}
        assert record_of(site, visitor).data[1:5] == key_id(newest)


# An unknown key


def test_an_unknown_key_id_is_an_unknown_token(site: Website, visitor: Answer) -> None:
    """Unknown key id: as an unknown token, nothing deleted."""
    before = record_of(site, visitor)
    set_keys(site, NEW)
    assert site.visit(dict, visitor.cookie).set_cookies == []
    assert site.visit(lambda session: session.clear(), visitor.cookie).set_cookies == []
    assert site.visit(lambda session: session.logout(), visitor.cookie).set_cookies == []
    fresh = site.visit(keep(b=1), visitor.cookie)
    assert fresh.cookie != visitor.cookie  # never adopted
    assert record_of(site, visitor) == before
    set_keys(site, NEW, SECRET)
    assert site.look(visitor.cookie) == {"a": 1}


def test_an_unknown_key_id_is_logged(site: Website, visitor: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """… and a log line ("deploy the new key as a fallback first, then promote it"), with the key id, and no token."""
    set_keys(site, NEW)
    caplog.clear()
    site.look(visitor.cookie)
    (event,) = caplog.records
    assert event.event == "unknown_key"  # type: ignore[attr-defined]
    assert key_id(SECRET).hex() in event.getMessage()
    assert "deploy the new key as a fallback first, then promote it" in event.getMessage()
    assert str(visitor.cookie) not in caplog.text


def test_the_advice_of_the_log_line_works(store: KeyedStore, clock: Clock) -> None:
    """Deployed as a fallback first and then promoted, a new key never meets a worker that does not know it."""
    one, other = Website(store, clock), Website(store, clock)
    visitor = one.visit(keep(n=0))
    rollout = [(one, (SECRET, NEW)), (other, (SECRET, NEW)), (one, (NEW, SECRET)), (other, (NEW, SECRET))]
    for step, (site, keys) in enumerate(rollout, 1):
        set_keys(site, *keys)
        for worker in (one, other):
            assert worker.look(visitor.cookie)["n"] == step - 1
        site.visit(keep(n=step), visitor.cookie)


# Weak secrets


@pytest.mark.parametrize("secret", ["dev", "XXXXX", b"secret_key", "a secret of 31 bytes: stretched"])
def test_a_short_secret_is_stretched_by_scrypt(store: KeyedStore, clock: Clock, secret: str | bytes) -> None:
    """A secret of fewer than 32 bytes is stretched by scrypt: its keys come from what scrypt makes of it."""
    raw = secret.encode() if isinstance(secret, str) else secret
    stretched = hashlib.scrypt(raw, salt=b"coatcheck/v1 short secret", n=2**14, r=8, p=1, dklen=32)
    site = Website(store, clock, SECRET_KEY=secret)
    assert record_of(site, site.visit(keep(a=1))).data[1:5] == Key(stretched).id


def test_a_long_secret_is_not_stretched() -> None:
    """A secret of 32 bytes is used as it is: its keys are HKDF-SHA256 (RFC 5869) of the secret itself."""
    secret = b"a secret of 32 bytes is enough.."
    extracted = hmac.digest(b"coatcheck/v1", secret, "sha256")
    expanded = hmac.digest(extracted, b"coatcheck/v1 key id" + b"\x01", "sha256")
    assert Key(secret).id == expanded[:4]


def test_a_secret_is_stretched_once(store: KeyedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """… is stretched by scrypt once, and not for each request: that would cost 50 ms each time."""
    stretched: list[bytes] = []
    stretch = keyring._stretch
    monkeypatch.setattr(keyring, "_stretch", lambda secret: (stretched.append(secret), stretch(secret))[1])
    site = Website(store, clock, SECRET_KEY="short, once")
    visitor = site.visit(keep(a=1))
    for n in range(5):
        site.visit(keep(a=n), visitor.cookie)
    assert stretched == [b"short, once"]


@pytest.mark.parametrize("secret", ["test", "XXXXX", "secret_key", "dev", b"dev", "short but not known"])
def test_server_side_sessions_warn_about_it(
    store: KeyedStore, clock: Clock, caplog: pytest.LogCaptureFixture, secret: str | bytes
) -> None:
    """Server-side sessions warn about it, once, with the command that makes a good one, and work."""
    site = Website(store, clock, SECRET_KEY=secret)
    visitor = site.visit(keep(a=1))
    assert site.look(visitor.cookie) == {"a": 1}
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 'python -c "import secrets; print(secrets.token_urlsafe(32))"' in warning.getMessage()
    assert str(secret) not in warning.getMessage()


def test_a_weak_fallback_is_weak(store: KeyedStore, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A secret that still opens is as good for a forger as the one that seals."""
    Website(store, clock, SECRET_KEY_FALLBACKS=["dev"])
    assert "the secret key is a well-known example" in caplog.text


def test_a_policy_refuses_weak_secrets(store: KeyedStore, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """allow_weak_secret=False refuses them at start-up; True takes them without a word."""
    with pytest.raises(ConfigurationError, match=r"the secret key is a well-known example.*token_urlsafe"):
        Website(store, clock, SECRET_KEY="dev", SESSION_ALLOW_WEAK_SECRET=False)
    Website(store, clock, SECRET_KEY="dev", SESSION_ALLOW_WEAK_SECRET=True)
    assert caplog.records == []


# Applications


def test_session_application_separates(store: KeyedStore, clock: Clock) -> None:
    """`SESSION_APPLICATION` separates applications that share a secret or a store: a cookie of one opens no other."""
    shop, blog = (Website(store, clock, SESSION_APPLICATION=name) for name in ("shop", "blog"))
    visitor = shop.visit(keep(a=1))
    assert blog.look(visitor.cookie) == {}
    assert blog.visit(keep(b=1), visitor.cookie).cookie != visitor.cookie
    assert shop.look(visitor.cookie) == {"a": 1}


def test_a_record_is_of_one_application(store: KeyedStore, clock: Clock) -> None:
    """… separates: a record that somebody copies to where another application would look opens there neither."""
    shop, blog = (Website(store, clock, SESSION_APPLICATION=name) for name in ("shop", "blog"))
    visitor = shop.visit(keep(a=1))
    assert store.store.create(blog.key(visitor.cookie), record_of(shop, visitor), clock())
    assert blog.look(visitor.cookie) == {}


@pytest.mark.parametrize("name", [None, "default", "shop"])
def test_equal_names_share_sessions(store: KeyedStore, clock: Clock, name: str | None) -> None:
    """… default `"default"`, never derived from the module; equal names share sessions."""
    config = {} if name is None else {"SESSION_APPLICATION": name}
    other = Website(store, clock, SESSION_APPLICATION=name or "default")
    assert other.look(Website(store, clock, **config).visit(keep(a=1)).cookie) == {"a": 1}


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_that_cannot_work(store: KeyedStore, clock: Clock, name: str) -> None:
    """A name of no or too many bytes is refused at start-up."""
    with pytest.raises(ConfigurationError, match=r"SESSION_APPLICATION is .*; write a short name such as 'shop'"):
        Website(store, clock, SESSION_APPLICATION=name)


# policy.seal = "server"


def test_seal_server_has_a_version_byte_of_its_own(store: KeyedStore, clock: Clock) -> None:
    """`policy.seal = "server"`: its records have a version byte of their own."""
    default, server = Website(store, clock), Website(store, clock, **SERVER)
    versions = [record_of(site, site.visit(keep(a=1))).data[:1] for site in (default, server)]
    assert versions == [Purpose.RECORD.version, Purpose.SERVER_RECORD.version]
    assert len({purpose.version for purpose in (Purpose.RECORD, Purpose.SERVER_RECORD, Purpose.POINTER)}) == 3


@pytest.mark.parametrize("writer", [{}, SERVER], ids=["by token", "by server"])
def test_seal_server_is_refused_by_everyone_else(
    store: KeyedStore, clock: Clock, caplog: pytest.LogCaptureFixture, writer: dict[str, Any]
) -> None:
    """… refused by everyone else, in both directions: as an unknown token, nothing deleted, with an event."""
    one, other = Website(store, clock, **writer), Website(store, clock, **({} if writer else SERVER))
    visitor = one.visit(keep(a=1))
    caplog.clear()
    assert other.look(visitor.cookie) == {}
    assert [event.event for event in caplog.records] == ["unreadable"]  # type: ignore[attr-defined]
    other.visit(lambda session: session.clear(), visitor.cookie)
    assert one.look(visitor.cookie) == {"a": 1}


@pytest.mark.parametrize("config", [{}, SERVER], ids=["token", "server"])
def test_who_can_read_the_data(store: KeyedStore, clock: Clock, config: dict[str, Any]) -> None:
    """… seals *data* under the keyring alone, so that operators can open it; by default that takes the token too."""
    site = Website(store, clock, **config)
    visitor = site.visit(keep(a="the data"))
    key, data = site.key(visitor.cookie), record_of(site, visitor).data
    sealer = Sealer(Keyring([SECRET]), "default")
    if config:
        assert "the data" in decode(decode(sealer.open(Purpose.SERVER_RECORD, data, key))[3]).values()
    else:
        for purpose in Purpose:
            with pytest.raises(sealing.Unsealable):
                sealer.open(purpose, data, key, bytes(32))


def test_a_record_that_is_moved_opens_nowhere(store: KeyedStore, clock: Clock) -> None:
    """… seals *data* under the keyring alone, and for its place: one session's record is no use to another's token."""
    site = Website(store, clock, **SERVER)
    ann, mallory = (site.visit(lambda session, name=name: session.login(name)) for name in ("ann", "mallory"))
    key, version = site.key(mallory.cookie), record_of(site, mallory).version
    assert store.store.replace(key, record_of(site, ann), version, clock()) is True
    assert site.visit(who, mallory.cookie).value is None


def test_start_up_says_so(store: KeyedStore, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """… law 8 is weaker then, and start-up says so."""
    Website(store, clock)
    assert caplog.records == []
    Website(store, clock, **SERVER)
    assert "seal='server': whoever has the store and the secret key can read every session" in caplog.text
