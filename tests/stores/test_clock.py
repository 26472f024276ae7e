"""Clock stands still until it is told to go on."""

from __future__ import annotations

from datetime import timedelta

from coatcheck.testing import Clock


def test_a_clock_goes_on_only_when_told() -> None:
    """A clock shows its start until advance moves it, by seconds or by a timedelta."""
    clock = Clock(100.0)
    assert (clock(), clock()) == (100.0, 100.0)
    clock.advance(0.5)
    assert clock() == 100.5
    clock.advance(timedelta(minutes=1))
    assert clock() == 160.5
    clock.advance(-60)
    assert clock() == 100.5
