"""check_store finds every planted fault, for the right reason, and needs nothing but a factory."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

from coatcheck.stores import MemoryStore, Store
from coatcheck.testing import StoreFault, check_store
from coatcheck.testing.faulty_stores import BROKEN_OBLIGATION, FAULTY_STORES
from coatcheck.testing.store_checks import OBLIGATIONS


@cache
def fault(name: str) -> StoreFault | None:
    """What check_store says of a faulty store; asked once for each."""
    try:
        check_store(FAULTY_STORES[name])
    except StoreFault as found:
        return found
    return None


@pytest.mark.parametrize("name", FAULTY_STORES)
def test_every_planted_fault_is_found_for_its_own_reason(name: str) -> None:
    """check_store refuses each faulty store and reports the obligation that its fault breaks."""
    found = fault(name)
    assert found is not None, f"check_store certified {name}"
    assert any(BROKEN_OBLIGATION[name] in sentence for sentence in found.broken), found


def test_every_obligation_can_fail() -> None:
    """No check is there that no fault makes fail."""
    faults = [fault(name) for name in FAULTY_STORES]
    broken = {sentence for found in faults if found is not None for sentence in found.broken}
    assert set(OBLIGATIONS) - broken == set()


def test_every_planted_fault_breaks_a_known_obligation() -> None:
    """Each faulty store names words of an obligation that exists, of one only, and no name is used twice."""
    assert len(FAULTY_STORES) >= 30
    assert FAULTY_STORES.keys() == BROKEN_OBLIGATION.keys()
    for name, words in BROKEN_OBLIGATION.items():
        assert sum(words in sentence for sentence in OBLIGATIONS) == 1, name


def test_the_message_lists_all_that_is_broken() -> None:
    """The message names the store and every broken obligation, with what was expected and what came."""
    found = fault("NoteLost")
    assert found is not None
    assert len(found.broken) > 1
    message = str(found)
    assert message.startswith(f"NoteLost breaks {len(found.broken)} of the {len(OBLIGATIONS)} obligations of a store")
    for sentence, what in found.broken.items():
        assert sentence in message
        assert what in message
    assert "expected Ended(note=b'n'), got Ended(note=None)" in message


def test_what_a_store_raises_is_reported_with_its_traceback() -> None:
    """An exception out of a verb is a broken obligation; the first one is the cause of the StoreFault."""
    found = fault("ReadRaisesWhereNothingIs")
    assert found is not None
    assert found.broken["read answers None where nothing is"].startswith("expected an answer, got KeyError: ")
    assert isinstance(found.__cause__, KeyError)


def test_the_factory_is_called_once_for_each_obligation() -> None:
    """Each check gets a store from the factory, and no check gets two."""
    made: list[Store] = []

    def factory() -> Store:
        made.append(MemoryStore())
        return made[-1]

    check_store(factory)
    assert len(made) == len(OBLIGATIONS)


def test_a_store_without_purge_is_certified() -> None:
    """purge is a capability, not an obligation: a store that lacks it can keep the contract."""

    class Plain:
        def __init__(self) -> None:
            store = MemoryStore()
            self.read, self.create, self.replace = store.read, store.create, store.replace
            self.delete, self.touch = store.delete, store.touch

    check_store(Plain)


def test_the_threads_switch_as_usual_afterwards() -> None:
    """check_store puts the interpreter's switch interval back, whatever it finds."""
    usual = sys.getswitchinterval()
    with pytest.raises(StoreFault):
        check_store(FAULTY_STORES["NoteLost"])
    assert sys.getswitchinterval() == usual


def test_it_needs_no_pytest() -> None:
    """coatcheck.testing imports without pytest, so that a store can be certified anywhere."""
    code = "import sys; sys.modules['pytest'] = None; import coatcheck.testing; print(coatcheck.testing.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_env())
    assert done.stdout == "['Clock', 'StoreFault', 'check_store']\n"


def _env() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}
