"""A store that is watched: it counts its commands, lets a test act right before or after one, or fail one.

The way to put another request exactly in between two steps of this one, with no thread and no luck.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coatcheck.errors import AnswerLost
from coatcheck.stores import Outcome, Record, Store
from coatcheck.stores.contract import Ended


class WatchedStore:
    """Wraps ``store``. ``calls`` lists the verbs it was asked for, in order; purge is not counted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls: list[str] = []
        self._before: list[tuple[str, Callable[[], object]]] = []
        self._after: list[tuple[str, Callable[[], object]]] = []
        self._lost: list[tuple[str, bool]] = []

    def before(self, verb: str, act: Callable[[], object]) -> None:
        """Call ``act`` once, right before the next ``verb`` reaches the store. What it raises, the verb raises."""
        self._before.append((verb, act))

    def after(self, verb: str, act: Callable[[], object]) -> None:
        """Call ``act`` once, right after the next ``verb`` was carried out, before its answer arrives."""
        self._after.append((verb, act))

    def lose_answer(self, verb: str, *, carried_out: bool) -> None:
        """Let the answer of the next ``verb`` be lost, whether it was carried out or not."""
        self._lost.append((verb, carried_out))

    def _perform(self, verb: str, *arguments: Any) -> Any:
        self.calls.append(verb)
        for act in _take(self._before, verb):
            act()
        lost = _take(self._lost, verb, limit=1)
        if lost == [False]:
            raise AnswerLost(f"no answer to {verb}")
        answer = getattr(self.store, verb)(*arguments)
        for act in _take(self._after, verb):
            act()
        if lost == [True]:
            raise AnswerLost(f"no answer to {verb}")
        return answer

    def read(self, key: bytes, now: float) -> Record | Ended | None:
        return self._perform("read", key, now)

    def create(self, key: bytes, record: Record, now: float) -> bool:
        return self._perform("create", key, record, now)

    def replace(self, key: bytes, record: Record, expected_version: int, now: float) -> Outcome:
        return self._perform("replace", key, record, expected_version, now)

    def delete(
        self, key: bytes, now: float, expected_version: int | None = None, note: bytes | None = None
    ) -> Outcome:
        return self._perform("delete", key, now, expected_version, note)

    def touch(self, key: bytes, expires_at: float, last_seen: float, now: float) -> bool:
        return self._perform("touch", key, expires_at, last_seen, now)


def _take(planned: list[tuple[str, Any]], verb: str, limit: int | None = None) -> list[Any]:
    """Remove what is planned for ``verb`` and return it, before it runs: an act may use the store itself."""
    mine = [item for item in planned if item[0] == verb][:limit]
    for item in mine:
        planned.remove(item)
    return [what for _, what in mine]
