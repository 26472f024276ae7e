"""What the README tells a newcomer to type works as it is printed there."""

from __future__ import annotations

import importlib
import re
import secrets
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A client of the README's app, saved as ``app.py`` in an empty folder and started with a good secret."""
    (source,) = blocks("python")
    (tmp_path / "app.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(32))
    return importlib.import_module("app").app.test_client()


def test_the_app_keeps_a_cart_through_a_login_and_forgets_it_at_logout(client: FlaskClient, tmp_path: Path) -> None:
    """The printed app saves a nested change, greets who logged in, and has nothing left after a logout."""
    client.post("/buy/apple")
    assert client.post("/buy/pear").json == {"cart": ["apple", "pear"]}
    assert client.post("/login", data={"name": "ada"}).json == {"hello": "ada"}
    assert client.post("/buy/plum").json == {"cart": ["apple", "pear", "plum"]}
    assert client.post("/logout").json == {"goodbye": True}
    assert client.post("/buy/fig").json == {"cart": ["fig"]}
    assert (tmp_path / "instance" / "sessions.db").is_file()


def test_the_printed_make_commands_exist() -> None:
    """Every ``make`` command in the README is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    printed = re.findall(r"^make (\w+)", "".join(blocks("sh")), re.MULTILINE)
    assert printed == ["demo", "test"]
    for target in printed:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_is_one_page() -> None:
    """The README stays within 110 lines."""
    assert len(README.splitlines()) <= 110
