"""What the HTTP tests share: the tutorials' apps, loaded as ``flask --app`` loads them, and a real server for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from flask.cli import ScriptInfo
from model_browser import Browser
from werkzeug.serving import make_server

from coatcheck.testing import Clock

TUTORIALS = Path(__file__).parents[2] / "examples" / "tutorials"


@pytest.fixture
def clock() -> Clock:
    """The time, for the sessions and the browser. It starts now, because Werkzeug writes Expires by the real time."""
    return Clock(time.time())


@pytest.fixture
def tutorial(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Flask]]:
    """Load a tutorial's app from its file, unchanged, with its instance folder in ``tmp_path`` and on our clock."""
    # Restored at the end: flask --app adds the file's folder to it.
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda self: str(tmp_path / "instance"))

    def forget_modules() -> None:
        for file in TUTORIALS.glob("*/*.py"):
            sys.modules.pop(file.stem, None)

    def load(name: str) -> Flask:
        forget_modules()
        app = ScriptInfo(app_import_path=str(TUTORIALS / name)).load_app()
        app.extensions["coatcheck"].clock = clock
        return app

    yield load
    forget_modules()


@contextmanager
def serving(app: Flask, *, tls: bool) -> Iterator[int]:
    """Serve an app from a thread; the value is the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context="adhoc" if tls else None)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Serve an app until the test ends, by http or with ``tls=True`` by https; the value is the port."""
    with ExitStack() as servers:
        yield lambda app, tls=False: servers.enter_context(serving(app, tls=tls))


@pytest.fixture
def new_browser(app: Flask, serve: Callable[..., int], clock: Clock) -> Callable[[], Browser]:
    """Give each call another visitor of the test module's ``app``."""
    port = serve(app)
    return lambda: Browser(port, clock)


@pytest.fixture
def browser(new_browser: Callable[[], Browser]) -> Browser:
    """One visitor of the test module's ``app``."""
    return new_browser()
