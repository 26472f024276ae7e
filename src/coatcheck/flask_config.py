"""Reads the ``SESSION_…`` keys of a Flask configuration: our own, and those of Flask-Session that make sense here."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
from typing import Any

from flask import Flask

from .errors import ConfigurationError
from .policy import Policy, duration
from .stores import Store, open_store

logger = logging.getLogger("coatcheck")

_POLICY_KEYS = {f"SESSION_{field.name.upper()}": field.name for field in dataclasses.fields(Policy)}

# Flask-Session's keys that ask for what is always so here, or can do no harm.
_NO_EFFECT = {
    "SESSION_USE_SIGNER": "a session token is 256 random bits, which a signature would not make harder to guess",
    "SESSION_ID_LENGTH": "a session token is 32 random bytes",
    "SESSION_SERIALIZATION_FORMAT": "sessions are sealed MessagePack, which keeps every type",
    "SESSION_CLEANUP_N_REQUESTS": "expired sessions are removed by themselves",
    "SESSION_FILE_THRESHOLD": "no live session is ever removed to make room",
    "SESSION_FILE_MODE": "the file is readable by its owner only",
}

_NOT_YET = ("REDIS", "MEMCACHED", "MONGODB", "SQLALCHEMY", "DYNAMODB", "CACHELIB", "POSTGRESQL")
_NOT_YET_RULES = ("SESSION_MAX_SESSIONS_PER_USER", "SESSION_ON_LIMIT", "SESSION_ON_STORE_ERROR", "SESSION_REVOCATIONS")

_KNOWN = {
    *_POLICY_KEYS, *_NO_EFFECT, "SESSION_STORE", "SESSION_TYPE", "SESSION_KEY_PREFIX", "SESSION_PERMANENT",
    "SESSION_APPLICATION", "SESSION_FILE_DIR", *(key for key in Flask.default_config if key.startswith("SESSION_")),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an application asks for. Equal settings set up the same sessions.

    :param store: a URL, or a store.
    """

    store: str | Store
    policy: Policy
    application: str
    key_prefix: str

    def open_store(self) -> Store:
        """Return the store that is meant.

        :raises ConfigurationError: if there is none of that kind.
        """
        return open_store(self.store, self.key_prefix) if isinstance(self.store, str) else self.store


def read_settings(
    app: Flask,
    store: str | Store | None = None,
    policy: Policy | None = None,
    application: str | None = None,
) -> Settings:
    """Return the settings of ``app``, where arguments come before keys.

    :raises ConfigurationError: for a setting that cannot work.
    """
    config: dict[str, Any] = app.config
    _check_keys(config)
    duration("PERMANENT_SESSION_LIFETIME", config["PERMANENT_SESSION_LIFETIME"])
    store = _which_store(app, config.get("SESSION_STORE") if store is None else store)
    if "SESSION_KEY_PREFIX" in config and not isinstance(store, str):
        name = type(store).__name__
        raise ConfigurationError(
            f"SESSION_KEY_PREFIX is for a store that is named by a URL; give the prefix to the store itself: "
            f"{name}(…, key_prefix={config['SESSION_KEY_PREFIX']!r})"
        )
    return Settings(
        store=store,
        policy=_which_policy(config, policy),
        application=config.get("SESSION_APPLICATION", "default") if application is None else application,
        key_prefix=_which_prefix(config),
    )


def _which_store(app: Flask, store: object) -> str | Store:
    if isinstance(store, type):
        raise ConfigurationError(f"the store is the class {store.__name__}; write an object: {store.__name__}(…)")
    if isinstance(store, str | Store):
        return store
    if store is not None:
        raise ConfigurationError(
            f"the store is a {type(store).__name__}; write a URL such as 'sqlite:///sessions.db', or an object with "
            "the methods of coatcheck.stores.Store"
        )
    kind = app.config.get("SESSION_TYPE")
    if kind is None:
        return f"sqlite:///{os.path.join(app.instance_path, 'sessions.db')}"
    if str(kind).lower() == "filesystem":
        folder = os.path.abspath(app.config.get("SESSION_FILE_DIR", "flask_session"))
        logger.info("SESSION_TYPE 'filesystem' is served by an SQLite file in the same folder: %s", folder)
        return f"sqlite:///{os.path.join(folder, 'sessions.db')}"
    if str(kind).upper() in _NOT_YET:
        raise ConfigurationError(
            f"SESSION_TYPE {kind!r} is not in this version of coatcheck yet; leave it out, and sessions are kept in "
            "an SQLite file in the instance folder"
        )
    raise ConfigurationError(f"SESSION_TYPE is {kind!r}; write 'filesystem', or leave it out and set SESSION_STORE")


def _which_policy(config: dict[str, Any], policy: Policy | None) -> Policy:
    keys = {key: name for key, name in _POLICY_KEYS.items() if key in config}
    if policy is None:
        return Policy(**{name: config[key] for key, name in keys.items()})
    if keys:
        raise ConfigurationError(
            f"both a policy and {', '.join(keys)} are given; write Policy({next(iter(keys.values()))}=…, …) and no key"
        )
    return policy


def _which_prefix(config: dict[str, Any]) -> str:
    prefix = config.get("SESSION_KEY_PREFIX", "")
    if not isinstance(prefix, str) or len(prefix.encode()) > 32:
        raise ConfigurationError(f"SESSION_KEY_PREFIX is {prefix!r}; write a str of at most 32 bytes, such as 'shop:'")
    return prefix


def _check_keys(config: dict[str, Any]) -> None:
    for key, value in config.items():
        if not key.startswith("SESSION_"):
            continue
        if key in _NO_EFFECT:
            logger.info("%s has no effect: %s", key, _NO_EFFECT[key])
        elif key.removeprefix("SESSION_").startswith(_NOT_YET) and value is not None:
            raise ConfigurationError(
                f"{key} is set, and its kind of store is not in this version of coatcheck yet; leave it out"
            )
        elif key in _NOT_YET_RULES:
            raise ConfigurationError(f"{key} is not in this version of coatcheck yet; leave it out")
        elif key not in _KNOWN and (meant := difflib.get_close_matches(key, _KNOWN, cutoff=0.9)):
            raise ConfigurationError(f"{key} is not a setting; did you mean {meant[0]}?")
