"""Starts a private machine with libvirtd and a log daemon, and asks it to run scenarios."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.daemon import CHECKOUT

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0

# All ends with the process that this test started, or with this test.
_UNSHARE = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
_UNSHARE += ["--mount-proc", "--propagation", "private"]

#: libvirt's own log daemon.
VIRTLOGD = ("virtlogd",)


def twisted_virtlog(patch: str = "pass") -> Sequence[str]:
    """Give the command of our daemon with its default paths.

    :param patch: Python code to run before it starts.
    """
    code = f"{patch}\nfrom twisted.scripts.twistd import run\nrun()"
    return (sys.executable, "-c", code, "--pidfile=", "-n", "virtlogd")


class ScenarioFailed(Exception):
    """A scenario did not come to its end; the text is the inner traceback and the daemons' logs."""


class Stack:
    """A private machine that is up."""

    def __init__(self, process: subprocess.Popen[bytes], errors: Path) -> None:
        self._process = process
        self._errors = errors
        self._received = b""

    def run(self, scenario: str, seconds: float = 120.0, **arguments: Any) -> Any:
        """Run a function of scenarios.py in the machine; give its result.

        :raises ScenarioFailed: it raised an exception, or took longer than so many seconds.
        """
        assert self._process.stdin is not None
        request = {"scenario": scenario, "arguments": arguments}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self.answer(scenario, seconds)

    def answer(self, scenario: str, seconds: float) -> Any:
        """Wait for the answer to a request that was written."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            readable = select.select([descriptor], [], [], left)[0]
            received = os.read(descriptor, 1 << 20) if readable else b""
            if not received:
                reason = "the machine ended" if readable else f"no result in {seconds} seconds"
                self._process.kill()
                raise ScenarioFailed(f"{scenario}: {reason}\n{self._errors.read_text()}")
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise ScenarioFailed(f"{scenario}: {answer['error']}")
        return answer["result"]


@contextlib.contextmanager
def running(directory: Path, daemon: Sequence[str], max_size: int = 1024 * 1024) -> Iterator[Stack]:
    """Run a private machine with a log daemon.

    :param directory: where to keep what goes wrong.
    :param daemon: the command of the log daemon.
    :param max_size: the size in bytes at which a log file is rotated.
    """
    errors = directory / "stack-errors.log"
    with errors.open("ab") as log:
        process = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-m", "tests.stack.machine", str(max_size), *daemon],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
    with process:
        try:
            stack = Stack(process, errors)
            stack.answer("start", _START_SECONDS)
            yield stack
            assert process.stdin is not None
            process.stdin.close()
            process.wait(_STOP_SECONDS)
        finally:
            process.kill()
