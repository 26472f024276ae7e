"""The rules an application sets for its sessions: how long they last, when their token changes, how they are sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from .errors import ConfigurationError

DAY = 86_400.0

#: The absolute timeout where the policy names none: this, or the session's lifetime if that is longer.
DEFAULT_ABSOLUTE = 90 * DAY


@dataclass(frozen=True)
class Policy:
    """What holds for every session of an application. Each field is also a Flask key: ``SESSION_`` and its name.

    :param absolute: the absolute timeout, as a timedelta or in seconds: a session ends so long after its login (or
        its creation), however active it is (ASVS 5.0 7.3.2). ``None``: 90 days, or the lifetime if that is longer.
    :param renew_after: give a session a new token when the old one has been in use for so long, as a timedelta or in
        seconds; the old one is honoured for another 60 seconds. ``None``: never.
    :param identity_keys: session keys that say who is logged in. One that goes from missing or falsy to truthy, or
        from one plain value to another, changes the token, as a login does (session fixation, ASVS 5.0 7.2.4).
    :param seal: ``"token"``: what a session holds is sealed under the secret key *and* its token, so that a stolen
        store is worthless even with the secret key. ``"server"``: under the secret key alone, so that operators can
        read it, and so can whoever steals both.
    :param allow_weak_secret: a secret key that is short or well known is used with a warning (``None``), without one
        (``True``), or refused (``False``).
    :raises ConfigurationError: for a value that cannot work.
    """

    absolute: timedelta | float | None = None
    renew_after: timedelta | float | None = None
    identity_keys: tuple[str, ...] = ("user_id", "_user_id", "user", "username")
    seal: Literal["token", "server"] = "token"
    allow_weak_secret: bool | None = None

    def __post_init__(self) -> None:
        for name in ("absolute", "renew_after"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, timedelta(seconds=duration(name, value)))
        keys = self.identity_keys
        if not isinstance(keys, tuple | list) or not all(isinstance(key, str) for key in keys):
            raise ConfigurationError(f"identity_keys is {keys!r}; write a tuple of session keys, such as ('user_id',)")
        object.__setattr__(self, "identity_keys", tuple(keys))
        if self.seal not in ("token", "server"):
            raise ConfigurationError(f"seal is {self.seal!r}; write 'token' or 'server'")
        if not (self.allow_weak_secret is None or isinstance(self.allow_weak_secret, bool)):
            raise ConfigurationError(f"allow_weak_secret is {self.allow_weak_secret!r}; write True, False or None")

    def absolute_seconds(self, lifetime: float) -> float:
        """Return the absolute timeout in seconds for a session whose lifetime is ``lifetime`` seconds."""
        return max(DEFAULT_ABSOLUTE, lifetime) if self.absolute is None else duration("absolute", self.absolute)

    def renew_seconds(self) -> float | None:
        """Return after how many seconds a token is renewed, or ``None`` for never."""
        return None if self.renew_after is None else duration("renew_after", self.renew_after)


class Terms(NamedTuple):
    """What the framework's settings say at one commit. They are read each time, never cached.

    :param lifetime: of a session, in seconds: Flask's ``PERMANENT_SESSION_LIFETIME``.
    :param refresh: whether each request that uses a permanent session prolongs it.
    """

    lifetime: float
    refresh: bool = True

    def expires_after(self, permanent: bool, lifetime: float | None) -> float:
        """Return how long after its last use (or change) a session ends, in seconds.

        :param lifetime: the session's own lifetime, if its login was to be remembered for so long.
        """
        if permanent:
            return self.lifetime if lifetime is None else lifetime
        return min(self.lifetime, DAY)

    def touch_interval(self, permanent: bool, lifetime: float | None) -> float | None:
        """Return how far the idle clock may lag behind, in seconds; ``None`` where there is no idle timeout."""
        if permanent and not self.refresh:
            return None
        return min(60.0, self.expires_after(permanent, lifetime) / 10)


def duration(name: str, value: timedelta | float) -> float:
    """Return ``value`` in seconds; :class:`ConfigurationError` if the setting ``name`` is not a positive duration."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds < 1e10:
        raise ConfigurationError(
            f"{name} is {value!r}; write a timedelta, or a number of seconds of at least 1, such as timedelta(days=30)"
        )
    return float(seconds)
