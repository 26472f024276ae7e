"""What coatcheck raises. Every message says what is wrong, with the value, and what to write instead."""

from __future__ import annotations


class ConfigurationError(ValueError):
    """A setting, or an argument, that cannot work. Settings are checked when the application starts (law 13)."""


class StoreError(RuntimeError):
    """The store did not do what was asked of it: down, locked, read-only, full. But for :class:`AnswerLost`,
    nothing was changed.
    """


class AnswerLost(StoreError):
    """A command was sent and no answer came back: it may have been carried out, or not.

    A store must raise this, not :class:`StoreError`, whenever it cannot tell. The lifecycle then looks to find out
    which, and an application gets it only where that cannot be found out (DESIGN §5).
    """


class CommitConflict(StoreError):
    """Other requests kept changing the session for as long as this one tried to save its changes."""
