"""Flask's own tests pass with our sessions in place of Flask's: those of the Flask that is installed here, all of them.

They are taken from its source distribution, which pip downloads into ``.artifacts`` once.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

import coatcheck

PLUGINS = Path(__file__).parent / "plugins"
HOOKS = ["ours_on_the_class", "ours_for_each_app"]

# Those that a session interface can break.
SESSION_TESTS = {
    "test_basic.py": """
        test_session_accessed test_session_path test_session_using_application_root
        test_session_using_session_settings test_session_using_samesite_attribute test_missing_session
        test_session_secret_key_fallbacks test_session_expiration test_session_stored_last test_session_special_types
        test_session_cookie_setting test_session_vary_cookie test_session_refresh_vary test_flashes
        test_extended_flashing test_app_freed_on_zero_refcount
    """,
    "test_testing.py": """
        test_redirect_session test_session_transactions test_session_transactions_no_null_sessions
        test_session_transactions_keep_context test_session_transaction_needs_cookies
    """,
    "test_reqctx.py": """
        test_session_error_pops_context test_session_dynamic_cookie_name
        TestGreenletContextCopying::test_greenlet_context_copying
        TestGreenletContextCopying::test_greenlet_context_copying_api
    """,
    "test_session_interface.py": "test_open_session_with_endpoint",
    "test_helpers.py": "TestStreaming::test_stream_keeps_session",
    "test_templating.py": "test_original_win test_standard_context",
    "test_converters.py": "test_context_available",
    "test_signals.py": "test_flash_signal",
    "test_config.py": "test_session_lifetime",
    "test_json_tag.py": "test_duplicate_tag test_custom_tag test_tag_interface test_tag_order",
}


@pytest.fixture(scope="module")
def suite(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Flask's tests and their settings."""
    folder = tmp_path_factory.mktemp("flask")
    with tarfile.open(_source_distribution(artifacts)) as archive:
        for member in archive:
            name = Path(*PurePosixPath(member.name).parts[1:])
            if member.isfile() and name.parts[0] in ("tests", "pyproject.toml"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]
    return folder


def _source_distribution(artifacts: Path) -> Path:
    wanted = version("flask")
    file = artifacts / f"flask-{wanted}.tar.gz"
    if not file.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "flask"]
        download = subprocess.run(
            [*pip, f"flask=={wanted}", "--dest", artifacts], capture_output=True, text=True, check=False
        )
        if not file.exists():
            reason = f"pip could not download the source distribution of Flask {wanted}: {download.stderr}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
    return file


def _run(suite: Path, *arguments: str) -> dict[str, str]:
    """Run Flask's tests and return how each went, such as ``"PASSED"``, by its name."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ["PYTHONPATH"] = os.pathsep.join([str(Path(coatcheck.__file__).parents[1]), str(PLUGINS)])
    flasks_pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=no", "-q", "-rpfE", *arguments]
    run = subprocess.run(flasks_pytest, cwd=suite, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    ends = re.findall(r"^(PASSED|FAILED|ERROR) (tests/.+?)(?: - .*)?$", run.stdout, re.MULTILINE)
    return {test: end for end, test in ends}


@pytest.mark.parametrize("hook", HOOKS)
def test_flasks_own_tests_pass(hook: str, suite: Path) -> None:
    """Of Flask's tests, those of sessions pass, and none fails that passes here with Flask's own sessions."""
    database = suite / "instance" / "sessions.db"
    database.unlink(missing_ok=True)
    ends = _run(suite, "-p", hook)
    listed = [f"tests/{file}::{name}" for file, names in SESSION_TESTS.items() for name in names.split()]
    assert [test for test in listed if ends.get(test) != "PASSED"] == []
    failed = {test: end for test, end in ends.items() if end != "PASSED"}
    assert not failed or _run(suite, *failed) == failed
    # And these were ours: the sessions that the tests made are in our store.
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM coatcheck_sessions").fetchone() >= (20,)
