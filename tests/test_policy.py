"""The policy: what it takes, what it refuses at start-up, and how long sessions last under it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from coatcheck import ConfigurationError, MemoryStore, Policy, Sessions
from coatcheck.policy import Terms, duration

DAY = 86_400.0


def test_the_defaults() -> None:
    """With no policy named: 90 days at most, no renewal, the usual identity keys, sealed by token."""
    policy = Policy()
    assert policy == Policy(
        absolute=None, renew_after=None, identity_keys=("user_id", "_user_id", "user", "username"), seal="token",
        allow_weak_secret=None,
    )  # fmt: skip
    assert (policy.absolute_seconds(31 * DAY), policy.renew_seconds()) == (90 * DAY, None)


@pytest.mark.parametrize(("lifetime", "absolute"), [(10.0, 90 * DAY), (90 * DAY, 90 * DAY), (91 * DAY, 91 * DAY)])
def test_the_default_absolute_timeout(lifetime: float, absolute: float) -> None:
    """policy.absolute is 90 days or the lifetime, the longer."""
    assert Policy().absolute_seconds(lifetime) == absolute


@pytest.mark.parametrize("name", ["absolute", "renew_after"])
@pytest.mark.parametrize("value", [timedelta(minutes=15), 900, 900.0])
def test_durations_are_timedeltas_or_seconds(name: str, value: Any) -> None:
    """A timedelta or a number of seconds: equal durations make equal policies, however they are written."""
    given: dict[str, Any] = {name: value}
    same: dict[str, Any] = {name: timedelta(minutes=15)}
    policy = Policy(**given)
    assert policy == Policy(**same)
    seconds = policy.absolute_seconds(31 * DAY) if name == "absolute" else policy.renew_seconds()
    assert seconds == 900.0


@pytest.mark.parametrize("name", ["absolute", "renew_after"])
@pytest.mark.parametrize(
    "value",
    [0, -1, 0.5, timedelta(0), timedelta(seconds=-5), "30", True, False, float("nan"), float("inf"), 1e10, [900], b"1"],
)
def test_what_is_no_duration_is_refused(name: str, value: Any) -> None:
    """A duration that cannot work is an error with the value, and with what to write instead."""
    with pytest.raises(ConfigurationError) as error:
        Policy(**{name: value})
    assert str(error.value) == (
        f"{name} is {value!r}; write a timedelta, or a number of seconds of at least 1, such as timedelta(days=30)"
    )


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("identity_keys", "user_id", "identity_keys is 'user_id'; write a tuple of session keys, such as ('user_id',)"),
        ("identity_keys", [1], "identity_keys is [1]; write a tuple of session keys, such as ('user_id',)"),
        ("identity_keys", None, "identity_keys is None; write a tuple of session keys, such as ('user_id',)"),
        ("seal", "none", "seal is 'none'; write 'token' or 'server'"),
        ("seal", None, "seal is None; write 'token' or 'server'"),
        ("allow_weak_secret", "yes", "allow_weak_secret is 'yes'; write True, False or None"),
        ("allow_weak_secret", 2, "allow_weak_secret is 2; write True, False or None"),
    ],
)
def test_what_cannot_work_is_refused(field: str, value: Any, sentence: str) -> None:
    """Wrong configuration fails at start-up, in one sentence that says what to write instead (law 13)."""
    with pytest.raises(ConfigurationError) as error:
        Policy(**{field: value})
    assert str(error.value) == sentence


@pytest.mark.parametrize("no", [False, 0])
def test_no_is_no(no: Any) -> None:
    """Who writes 0 for no, as an environment variable becomes, is not given yes: a weak secret is refused."""
    with pytest.raises(ConfigurationError):
        Sessions(MemoryStore(), policy=Policy(allow_weak_secret=no)).lifecycle(("dev",))


def test_identity_keys_may_be_a_list() -> None:
    """A list from a configuration file is a tuple in the policy, and equal to one; none at all is possible."""
    assert Policy(identity_keys=["email"]) == Policy(identity_keys=("email",))  # type: ignore[arg-type]
    assert Policy(identity_keys=()).identity_keys == ()


def test_a_policy_never_changes() -> None:
    """A policy is what it was when the application started, and can be compared and hashed."""
    policy = Policy(renew_after=900)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.renew_after = None  # type: ignore[misc]
    assert hash(policy) == hash(Policy(renew_after=900))


@pytest.mark.parametrize(
    ("lifetime", "refresh", "permanent", "remembered", "idle", "interval"),
    [
        pytest.param(31 * DAY, True, True, None, 31 * DAY, 60.0, id="permanent"),
        pytest.param(300.0, True, True, None, 300.0, 30.0, id="permanent and short"),
        pytest.param(31 * DAY, True, True, 200.0, 200.0, 20.0, id="remembered"),
        pytest.param(31 * DAY, False, True, None, 31 * DAY, None, id="permanent, refresh off"),
        pytest.param(31 * DAY, True, False, None, DAY, 60.0, id="not permanent"),
        pytest.param(31 * DAY, False, False, None, DAY, 60.0, id="not permanent, refresh off"),
        pytest.param(300.0, True, False, None, 300.0, 30.0, id="not permanent and short"),
        pytest.param(31 * DAY, True, False, 200.0, DAY, 60.0, id="remembered, and permanent no more"),
    ],
)
def test_terms(
    lifetime: float, refresh: bool, permanent: bool, remembered: float | None, idle: float, interval: float | None
) -> None:
    """The table of DESIGN §6, Timeouts, in seconds: when a session ends, and how far its idle clock may lag behind."""
    terms = Terms(lifetime, refresh)
    assert terms.expires_after(permanent, remembered) == idle
    assert terms.touch_interval(permanent, remembered) == interval


@pytest.mark.parametrize(("value", "seconds"), [(timedelta(milliseconds=1500), 1.5), (1, 1.0), (9_999_999_999, 9e9)])
def test_duration(value: Any, seconds: float) -> None:
    """A duration is a float of seconds."""
    assert type(duration("remember", value)) is float
    assert duration("remember", value) >= seconds
