"""check_store: certify that a store keeps the contract of :mod:`coatcheck.stores.contract`. Needs no pytest."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from coatcheck.stores.contract import Store
from coatcheck.testing.store_bench import THREADS, Bench, BrokenObligation
from coatcheck.testing.store_races import RACES
from coatcheck.testing.store_rules import RULES

#: Every obligation: its sentence, and the check that fails where it is broken.
OBLIGATIONS = {(check.__doc__ or "").splitlines()[0].rstrip("."): check for check in (*RULES, *RACES)}


class StoreFault(AssertionError):
    """A store breaks the contract.

    :ivar broken: the obligations it breaks, each with what was expected and what came.
    """

    def __init__(self, store: str, broken: dict[str, str]) -> None:
        self.broken = broken
        lines = (f"- {sentence}.\n    {what}" for sentence, what in broken.items())
        super().__init__(
            f"{store} breaks {len(broken)} of the {len(OBLIGATIONS)} obligations of a store:\n" + "\n".join(lines)
        )


def check_store(factory: Callable[[], Store]) -> None:
    """Certify a store: all of the contract, expiry to the instant and overlapping callers included.

    It takes a few seconds, uses threads, leaves records under random keys, and calls ``purge``, if there is one, with
    a time an hour ahead: give it a database of its own.

    :param factory: returns the store; called once for each obligation. It may return stores that share their records,
        or the same one each time.
    :raises StoreFault: if the store breaks the contract; the message lists every obligation that is broken.
    """
    # Ahead of the wall clock, so that a server's own sweeper takes nothing away, and a store that looks at the wall
    # clock instead of `now` is found out.
    now = time.time() + 3600.0
    broken: dict[str, str] = {}
    first_error: BaseException | None = None
    name = ""
    with _frequent_switches(), ThreadPoolExecutor(THREADS + 1) as threads:
        for sentence, check in OBLIGATIONS.items():
            store = factory()
            name = type(store).__name__
            # In a thread, since a store must work in others than the one that made it.
            error = threads.submit(check, Bench(store, now, threads)).exception()
            if isinstance(error, BrokenObligation):
                broken[sentence] = str(error)
            elif error is not None:
                broken[sentence] = f"expected an answer, got {type(error).__name__}: {error}"
                first_error = first_error or error
    if broken:
        raise StoreFault(name, broken) from first_error


@contextlib.contextmanager
def _frequent_switches() -> Iterator[None]:
    """Let Python switch threads every 10 µs instead of 5 ms, so that gaps show."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
