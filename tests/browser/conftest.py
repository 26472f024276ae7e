"""The demo, served for one test, and Chromium to look at it with."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright
from werkzeug.serving import make_server

from examples.demo.app import create_app

ARGUMENTS = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]

#: How long a page may take to get there, in milliseconds: a busy machine is no fault of the demo's.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Without it the tests are skipped, but never where CI=true promises that they run."""
    executable = shutil.which("chromium")
    if executable is None:
        reason = "no chromium on the PATH; on Debian, as root: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    arguments = [*ARGUMENTS, "--no-sandbox"] if os.geteuid() == 0 else ARGUMENTS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@contextmanager
def serve(instance: Path) -> Iterator[str]:
    """Serve the demo from ``instance`` on a free port, and give its address."""
    server = make_server("127.0.0.1", 0, create_app(instance), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """The address of a demo of its own."""
    with serve(tmp_path) as address:
        yield address


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Open an address in a browser without cookies; keyword arguments as for playwright's ``new_context``.

    When the test is over, it fails for whatever the pages logged as an error, and for requests to other hosts.
    """
    faults: list[str] = []
    with ExitStack() as stack:

        def note_foreign(request: Request) -> None:
            if urlsplit(request.url).hostname != "127.0.0.1":
                faults.append(f"a request to another host: {request.url}")

        def open_page(address: str, **options: object) -> Page:
            context = stack.enter_context(chromium.new_context(**options))  # type: ignore[arg-type]
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("request", note_foreign)
            page.goto(address)
            return page

        yield open_page
    assert faults == []
