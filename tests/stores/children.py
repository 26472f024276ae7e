"""Run a piece of a test in a forked child, as another user if need be, and bring back what it returns."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

import ormsgpack


class Child:
    """A child process that runs ``call`` and ends; :meth:`result` waits for what it returns (plain values).

    :param fork: how to make the process.
    """

    def __init__(self, call: Callable[[], Any], fork: Callable[[], int] = os.fork) -> None:
        self._read, write = os.pipe()
        self.pid = fork()
        if self.pid == 0:
            os._exit(self._run(call, write))
        os.close(write)

    def _run(self, call: Callable[[], Any], write: int) -> int:
        signal.alarm(60)  # a child that hangs fails its test instead of staying
        try:
            answer = {"result": call()}
        except BaseException:  # noqa: BLE001 - whatever it is, the test must see it
            answer = {"error": traceback.format_exc()}
        with open(write, "wb") as pipe:
            pipe.write(ormsgpack.packb(answer))
        return 0

    def result(self) -> Any:
        """Wait for the end of the child, and return what its call returned."""
        with open(self._read, "rb") as pipe:
            raw = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        assert raw, f"the child ended with status {status} and no answer"
        answer = ormsgpack.unpackb(raw)
        assert "error" not in answer, answer["error"]
        return answer["result"]


def unprivileged(call: Callable[[], Any]) -> Callable[[], Any]:
    """The same call, for a child that first gives up root's right to ignore permissions."""

    def without_root() -> Any:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        return call()

    return without_root
