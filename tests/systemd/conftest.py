"""A service manager's stand-in, and the daemon under it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from harness.daemon import CHECKOUT, state_dir
from harness.service_manager import ServiceManager

StartManager = Callable[..., ServiceManager]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[StartManager]:
    """Make stand-ins that start the daemon; all that they start ends with the test."""
    with ExitStack() as stack:

        def make(*settings: str, most: int = 20000) -> ServiceManager:
            config = tmp_path / "virtlogd.conf"
            lines = [*settings, *state_dir(tmp_path, settings), "# end"]
            config.write_text("\n".join(lines) + "\n")
            command = [sys.executable, "-m", "twisted_virtlog.daemon.command", "-f", str(config)]
            command += ["-p", str(tmp_path / "pid")]
            manager = ServiceManager(tmp_path, command, most)
            stack.callback(manager.close)
            (tmp_path / "home").mkdir()
            manager.environment = {
                "PYTHONPATH": str(CHECKOUT),
                "FDSTORE": str(most),
                "HOME": str(tmp_path / "home"),
            }
            return manager

        yield make


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    """A stand-in that starts nothing."""
    made = ServiceManager(tmp_path, [])
    yield made
    made.close()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if "systemd" in event.get("log_namespace", ""):
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)
