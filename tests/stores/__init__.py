"""The stores: their contract, the suite that certifies it, and what SQLite adds."""

from __future__ import annotations
