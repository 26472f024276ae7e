"""Clock: the time, as tests set it."""

from __future__ import annotations

from datetime import timedelta


class Clock:
    """A clock that stands still until it is told to go on; pass it where coatcheck takes a ``clock``.

    :param start: the time it shows first, in seconds since 1970.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def __call__(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._now

    def advance(self, by: float | timedelta) -> None:
        """Go forward.

        :param by: how far, in seconds or as a timedelta. A negative one goes back, as a server's clock may.
        """
        self._now += by.total_seconds() if isinstance(by, timedelta) else by
