"""Sessions: an application's one manager. It knows the store, the policy and the clock, and drives the lifecycle."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from .crypto.keyring import Keyring, weakness
from .crypto.sealing import Sealer
from .errors import ConfigurationError, StoreError
from .lifecycle import Committed, Lifecycle
from .loading import Event, Found
from .policy import Policy, Terms
from .records import Records
from .session import Session
from .steps import Steps, perform
from .stores.contract import Purges, Store
from .tokens import parse_cookie_value

logger = logging.getLogger("coatcheck")

#: How often a create is followed by a purge, in seconds, and how many rows one takes at most (DESIGN §9).
PURGE_INTERVAL = 60.0
PURGE_BATCH = 100

_KEYGEN = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

# What Jinja finds of ours before it looks for a key; the names of dict hide keys in every framework.
_OUR_NAMES = {name for name in dir(Session) if not name.startswith("_")} - set(dir(dict))

T = TypeVar("T")

#: The secret keys of an application: the newest, which seals, and then those that only open.
Secrets = tuple[str | bytes, ...]


class Sessions:
    """The sessions of one application.

    :param store: where they are kept.
    :param application: separates applications that share a store or a secret key; equal names share sessions.
    :param clock: returns the time in seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy: Policy | None = None,
        application: str = "default",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(application, str) or not 0 < len(application.encode()) < 256:
            raise ConfigurationError(f"SESSION_APPLICATION is {application!r}; write a short name such as 'shop'")
        self.store = store
        self.policy = Policy() if policy is None else policy
        self.application = application
        self.clock = clock
        if self.policy.seal == "server":
            logger.warning("seal='server': whoever has the store and the secret key can read every session")
        self._lifecycle: tuple[Secrets, Lifecycle] | None = None
        self._purge_at = 0.0
        self._named: set[str] = set()

    def purge(self) -> int:
        """Remove all expired records and return how many; this happens by itself, a little at a time.

        :raises StoreError: if the store fails.
        :raises TypeError: if it cannot be asked to purge.
        """
        if not isinstance(self.store, Purges):
            raise TypeError(f"{type(self.store).__name__} removes what has expired by itself, and has no purge")
        purged = 0
        while batch := self.store.purge(self.clock(), PURGE_BATCH):
            purged += batch
        return purged

    def store_key_of(self, cookie_value: str) -> bytes | None:
        """Return the store key of a session cookie's value; ``None`` if the value is not one of ours."""
        parsed = parse_cookie_value(cookie_value)
        return None if parsed is None else parsed.token.store_key(self.application)

    # What adapters call

    def load(self, lifecycle: Lifecycle, cookies: Sequence[str]) -> Found:
        """Find the live session of a request by the values of its session cookies."""
        events: list[Event] = []
        return self._perform(lifecycle.load(cookies, self.clock(), events), events)

    def refresh(self, lifecycle: Lifecycle, cookies: Sequence[str], terms: Terms) -> Committed:
        """Prolong the permanent session of a request that did not use it."""
        events: list[Event] = []
        return self._perform(lifecycle.refresh(cookies, terms, self.clock(), events), events)

    def commit(self, lifecycle: Lifecycle, session: Session, terms: Terms) -> Committed:
        """Carry out what a view wanted of its session, and save its changes."""
        events: list[Event] = []
        now = self.clock()
        committed = self._perform(lifecycle.commit(session, terms, now, events), events)
        if committed.new_token:
            self._purge_sometimes(now)
        if session.modified:
            self._name_hidden_keys(session)
        return committed

    def _perform(self, steps: Steps[T], events: list[Event]) -> T:
        try:
            return perform(steps, self.store, self.clock)
        finally:
            for event in events:
                extra = {"event": event.name, "handle": event.handle}
                logger.warning("%s: %s", event.name, event.message, extra=extra)

    def _name_hidden_keys(self, session: Session) -> None:
        for key in (session.keys() & _OUR_NAMES) - self._named:
            self._named.add(key)
            logger.warning(
                "session[%r] is hidden in templates, where session.%s is coatcheck's own: write session[%r] there, or "
                "choose another key", key, key, key,
            )  # fmt: skip

    def lifecycle(self, secrets: Secrets) -> Lifecycle:
        """Return the lifecycle under these keys. Frameworks let the keys change between two requests.

        :raises ConfigurationError: for keys that cannot be used, or that the policy refuses.
        """
        current = self._lifecycle
        if current is None or current[0] != secrets:
            keyring = Keyring(secrets)
            for secret in secrets:
                self._check_strength(secret)
            records = Records(Sealer(keyring, self.application), self.application, self.policy)
            current = self._lifecycle = (secrets, Lifecycle(records, self.policy))  # one step: threads share it
        return current[1]

    def _check_strength(self, secret: str | bytes) -> None:
        reason = weakness(secret)
        if reason is None or self.policy.allow_weak_secret is True:
            return
        if self.policy.allow_weak_secret is False:
            raise ConfigurationError(f"the secret key {reason}; make a good one with: {_KEYGEN}")
        logger.warning("the secret key %s. Make a good one with: %s", reason, _KEYGEN)

    def _purge_sometimes(self, now: float) -> None:
        if now < self._purge_at or not isinstance(self.store, Purges):
            return
        self._purge_at = now + PURGE_INTERVAL
        try:
            purged = self.store.purge(now, PURGE_BATCH)
        except StoreError as error:
            logger.warning("expired sessions could not be removed: %s", error)  # the visitor's own is saved
            return
        if purged == PURGE_BATCH:
            # More sessions end than a batch a minute takes: go on at the next create, or the store would only grow.
            self._purge_at = now


def describe(policy: Policy, terms: Terms) -> str:
    """Return in one sentence how long sessions last under these settings, for the start-up log."""
    idle = timedelta(seconds=terms.expires_after(permanent=False, lifetime=None))
    permanent = timedelta(seconds=terms.lifetime)
    absolute = timedelta(seconds=policy.absolute_seconds(terms.lifetime))
    counted = "use" if terms.refresh else "change"
    return (
        f"a session ends {idle} after its last use, a permanent one {permanent} after its last {counted}, "
        f"any {absolute} after its login or creation"
    )
