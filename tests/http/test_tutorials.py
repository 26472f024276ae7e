"""All five tutorials: they start as their README says, touch nothing before they are used, and every route answers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest
from flask import Flask
from model_browser import Browser

from coatcheck.testing import Clock

TUTORIALS = Path(__file__).parents[2] / "examples" / "tutorials"
# The file to run, and a page of it that begins a session: None to open it, or the form to send to it.
STARTS = {
    "what_is_a_cookie/app.py": ("/session/set/", None),
    "session_usage/main.py": ("/", None),
    "keeping_state/app.py": ("/session/set", None),
    "user_guide/app.py": ("/login/", {"username": "coco"}),
    "part_six/run.py": ("/session", None),
}


def test_the_readme_names_every_tutorial() -> None:
    """Each folder is one tutorial; the README's table says which file to run, and the tests below run it."""
    readme = (TUTORIALS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+/\w+\.py)`", readme, re.MULTILINE)) == set(STARTS)
    assert {name.split("/")[0] for name in STARTS} == {file.parent.name for file in TUTORIALS.glob("*/*.py")}


@pytest.mark.parametrize("name", STARTS)
def test_loading_leaves_nothing_behind(tutorial: Callable[[str], Flask], name: str) -> None:
    """An app that is only imported makes no file and no folder."""
    assert not Path(tutorial(name).instance_path).exists()


@pytest.mark.parametrize("name", STARTS)
def test_every_route_answers_every_visitor(
    tutorial: Callable[[str], Flask], serve: Callable[..., int], clock: Clock, name: str
) -> None:
    """Each route, for a newcomer and then for one who has been to all the others, is a page and not an error."""
    app = tutorial(name)
    port = serve(app)
    urls = [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]
    assert len(urls) >= 3
    known = Browser(port, clock)
    for url in urls * 2:
        for visitor in (Browser(port, clock), known):
            assert visitor.get(url).status == 200, url


@pytest.mark.parametrize("name", STARTS)
def test_it_runs_as_the_readme_says(tmp_path: Path, clock: Clock, name: str) -> None:
    """``flask --app <file> run``, in a process of its own, serves the app and keeps its sessions beside the file."""
    folder = name.split("/")[0]
    shutil.copytree(TUTORIALS / folder, tmp_path / folder)
    command = [sys.executable, "-m", "flask", "--app", str(tmp_path / name), "run", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        watchdog = Timer(30, process.kill)
        watchdog.start()
        try:
            assert process.stderr is not None
            log = ""
            while not (found := re.search(r"Running on http://127.0.0.1:(\d+)", log)):
                line = process.stderr.readline()
                assert line, log
                log += line
            browser = Browser(int(found[1]), clock)
            page, form = STARTS[name]
            assert (browser.post(page, form) if form else browser.get(page)).status == 200
        finally:
            watchdog.cancel()
            process.kill()
    assert (tmp_path / folder / "instance" / "sessions.db").is_file()
