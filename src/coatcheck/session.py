"""The session a view sees: a dict, with the verbs of its life and its times.

Nothing here talks to a store. The verbs only note what the application wants; the lifecycle carries it out at the
commit, and finds out by itself what changed, however deep, by comparing encodings (law 6).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

from .codec import encode
from .policy import duration
from .records import Life
from .stores.contract import Record
from .tokens import SessionToken

#: The key in which ``permanent`` is kept, where Flask keeps it.
PERMANENT = "_permanent"

_MISSING: Any = object()


class Loaded(NamedTuple):
    """What a session was loaded from.

    :param token: the token of its live record, which is not the visitor's if that one led here by a pointer.
    :param values: its values as they were encoded: what the commit compares with.
    :param by_pointer: whether the visitor came by a token that has been renewed.
    """

    token: SessionToken
    record: Record
    life: Life
    values: bytes
    by_pointer: bool


class Login(NamedTuple):
    """A login that the commit is to carry out; ``lifetime`` in seconds if it is to be remembered."""

    user: str | int
    lifetime: int | None


class AtomicStep(NamedTuple):
    """One call of ``atomic``: the function, and the values around it, so that it can be replayed on others."""

    before: bytes
    function: Callable[[Session], object]
    after: bytes


class Session(dict[str, Any]):
    """What one browser's visits have in common: a mapping of str keys to values.

    It is loaded when it is first accessed and saved when the request ends; changes inside lists and dicts are
    saved too. Values may be of every type that :mod:`coatcheck.codec` names.
    """

    #: Whether a key was assigned or removed in this request. As in Flask it makes the cookie be sent again; it
    #: decides nothing about what is saved.
    modified = False

    _accessed = False
    _loader: Callable[[Session], None] | None = None  # set until the session is loaded
    _loading: AbstractContextManager[Any] = nullcontext()  # a lock, where there is a loader
    _loaded: Loaded | None = None  # what it was loaded from, if that was a live session
    _moved_to: bytes | None = None  # else the store key to which the visitor's token was rotated
    _ended = False  # the session that the visitor came with is to end
    _login: Login | None = None
    _rotate = False
    _reauthenticated = False
    _steps: tuple[AtomicStep, ...] = ()
    _closed = False  # this request's commit has been tried, or its session could not be loaded
    _unread: Exception | None = None  # why it could not be loaded
    _permanent_if_new = False

    @property
    def accessed(self) -> bool:
        """Whether this request used the session. Flask sets it on any use; setting it loads the session.

        :raises StoreError: on setting, if the store fails.
        """
        return self._accessed

    @accessed.setter
    def accessed(self, value: bool) -> None:
        self._accessed = value
        if value and self._loader is not None:
            with self._loading:  # a view may hand its session to threads of its own
                if self._loader is not None:
                    self._loader(self)
                    self._loader = None

    @property
    def new(self) -> bool:
        """Whether there is no stored session behind this one yet."""
        return self._life is None

    @property
    def permanent(self) -> bool:
        """Whether the session outlives the browser's: its cookie gets a Max-Age, and it lives for its lifetime."""
        return bool(self.get(PERMANENT, self._permanent_if_new and self.new))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self[PERMANENT] = bool(value)

    @property
    def logged_in_as(self) -> str | int | None:
        """The user that :meth:`login` named, or ``None``."""
        if self._login is not None:
            return self._login.user
        return None if self._life is None else self._life.user

    @property
    def handle(self) -> str | None:
        """The session's public name: made at its first commit, the same for its whole life, useless as a cookie."""
        return None if self._life is None else self._life.handle.hex()

    @property
    def created_at(self) -> datetime | None:
        """When the session was first stored, in UTC; ``None`` before that."""
        return None if self._life is None else _utc(self._life.created_at)

    @property
    def last_seen_at(self) -> datetime | None:
        """When the session was last used, in UTC, to within a minute or a tenth of its idle timeout."""
        return None if self._ended or self._loaded is None else _utc(self._loaded.record.last_seen)

    @property
    def expires_at(self) -> datetime | None:
        """When the session ends if nothing more happens, in UTC."""
        if self._ended or self._loaded is None:
            return None
        return _utc(min(self._loaded.record.expires_at, self._loaded.life.ends_at))

    def login(self, user: str | int, remember: timedelta | float | None = None) -> None:
        """Say who is logged in. At the commit the session gets a new token, and the old one ends (law 9).

        What an anonymous session held, such as a cart, is kept; the session of another user ends first, as by
        :meth:`clear`. The idle and the absolute timeout start again.

        :param user: the user's id, a str or an int.
        :param remember: how long the login lasts, as a timedelta or in seconds; it makes the session permanent.
        :raises TypeError: if ``user`` is neither a str nor an int.
        :raises ConfigurationError: if ``remember`` is not a positive duration.
        """
        if type(user) not in (str, int):
            raise TypeError(f"login() got a {type(user).__name__}; give the user's id, a str or an int")
        lifetime = None if remember is None else int(duration("remember", remember))
        if self.logged_in_as is not None and str(self.logged_in_as) != str(user):
            self.clear()
        self._login = Login(user, lifetime)
        self.modified = True
        if lifetime is not None:
            self.permanent = True

    def logout(self) -> None:
        """End the session, as :meth:`clear` does."""
        self.clear()

    def reauthenticated(self) -> None:
        """Say that the user proved again who they are: a new token, and both timeouts start again.

        :raises ValueError: if nobody is logged in.
        """
        if self.logged_in_as is None:
            raise ValueError("reauthenticated() was called and nobody is logged in; call login(user) instead")
        self._reauthenticated = True
        self.rotate()

    def rotate(self) -> None:
        """Give this session a new token at the commit. The old one is dead at once, and nothing leads from it on."""
        self._rotate = True
        self.modified = True

    regenerate = rotate

    def clear(self) -> None:
        """Empty the session and end it. What is written afterwards starts a new one, with a new token."""
        super().clear()
        self._ended = self._loaded is not None or self._moved_to is not None
        self._login = None
        self._rotate = self._reauthenticated = False
        self._steps = ()
        self.modified = True

    def atomic(self, function: Callable[[Session], object]) -> None:
        """Change the session by a function that is repeated until no other request came in between.

        ``function`` runs at once on this session. If another request saves its changes first, it runs again on what
        that one saved: of a hundred overlapping increments none is lost. It must be synchronous and do nothing but
        change the session it is given; what it returns is ignored.

        :param function: takes the session, as in ``lambda s: s.update(hits=s.get("hits", 0) + 1)``.
        :raises TypeError: if the session holds a value that cannot be stored, or the function is a coroutine's.
        """
        if inspect.iscoroutinefunction(function):
            raise TypeError("atomic() got an async function, which would not run; write a plain one, without await")
        before, steps = encode_values(self), self._steps
        function(self)
        self.modified = True
        # What the function noted itself, it notes again when it is repeated.
        self._steps = (*steps, AtomicStep(before, function, encode_values(self)))

    def _settle(self, stored: Loaded | None) -> None:
        """Note that all that was wanted has been carried out, and as what the session is stored now."""
        self._loaded = stored
        self._moved_to = self._login = None
        self._ended = self._rotate = self._reauthenticated = False
        self._steps = ()

    @property
    def _life(self) -> Life | None:
        return None if self._ended or self._loaded is None else self._loaded.life

    # Flask's rules for ``modified``: set by each of these, even if the value stays the same …

    def __setitem__(self, key: str, value: Any) -> None:
        self.modified = True
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self.modified = True
        super().__delitem__(key)

    def popitem(self) -> tuple[str, Any]:
        self.modified = True
        return super().popitem()

    def update(self, *args: Any, **kwargs: Any) -> None:
        self.modified = True
        super().update(*args, **kwargs)

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc,override]  # dict's overloads cannot be repeated
        self.update(other)
        return self

    # … and by these two only if they change something.

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        if key in self:
            self.modified = True
        return super().pop(key) if default is _MISSING else super().pop(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self.modified = True
        return super().setdefault(key, default)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[Iterable[Any]]]:
        # A copy is a plain dict: only one object may stand for the stored session.
        return dict, (dict(self),)


def encode_values(values: Mapping[str, Any]) -> bytes:
    """Return a session's values as they are sealed.

    :raises TypeError: for what cannot be stored, naming its path.
    """
    plain = dict(values)
    for key in plain:
        if type(key) is not str:
            raise TypeError(f"session[{key!r}]: the key is a {type(key).__name__}; session keys are str")
    return encode(plain)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
