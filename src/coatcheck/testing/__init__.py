"""For tests, of coatcheck and of applications: certify a store, set the clock. Needs no pytest."""

from __future__ import annotations

from coatcheck.testing.clock import Clock
from coatcheck.testing.store_checks import StoreFault, check_store

__all__ = ["Clock", "StoreFault", "check_store"]
