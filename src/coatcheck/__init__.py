"""coatcheck: sessions and cookies for Python web applications.

What a user did on the last request is there on the next one; it is theirs alone, nothing of it is lost, and it ends
when it should. Start with the adapter of your framework, such as :mod:`coatcheck.flask`.
"""

from __future__ import annotations

from .codec import register
from .errors import AnswerLost, CommitConflict, ConfigurationError, StoreError
from .policy import Policy
from .session import Session
from .sessions import Sessions
from .stores import MemoryStore, SQLiteStore, Store

__all__ = [
    "AnswerLost",
    "CommitConflict",
    "ConfigurationError",
    "MemoryStore",
    "Policy",
    "SQLiteStore",
    "Session",
    "Sessions",
    "Store",
    "StoreError",
    "register",
]
