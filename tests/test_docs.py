"""The code in docs/ works as it is printed there, each page from top to bottom."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest

import coatcheck

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of a page runs after those before it, and its assertions hold."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(32))
    source = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": page.stem}
    for block in re.finditer(r"^```python\n(.*?)^```$", source, re.MULTILINE | re.DOTALL):
        line = source.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), namespace)


def test_every_public_name_is_shown() -> None:
    """Each name that coatcheck exports is used in an example that is run."""
    shown = "".join(re.findall(r"```python\n(.*?)```", "".join(page.read_text() for page in PAGES), re.DOTALL))
    assert [name for name in coatcheck.__all__ if not re.search(rf"\b{name}\b", shown)] == []
