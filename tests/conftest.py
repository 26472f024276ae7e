"""What every test shares: how Hypothesis works here, and the folder for what a test leaves to be looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# print_blob: a failure prints the line that repeats it. deadline: a slow machine is no failure; speed is measured apart
settings.register_profile("coatcheck", print_blob=True, deadline=None)
settings.load_profile("coatcheck")


@pytest.fixture(scope="session")
def artifacts(request: pytest.FixtureRequest) -> Path:
    """The folder for screenshots and the like, outside git: ``.artifacts`` in the checkout."""
    folder: Path = request.config.rootpath / ".artifacts"
    folder.mkdir(exist_ok=True)
    return folder
