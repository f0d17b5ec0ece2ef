"""What all tests share: hypothesis's profile, what may be skipped where, and no error left unseen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

_IN_CI = bool(os.environ.get("CI"))

settings.register_profile(
    "default",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=_IN_CI,
)
settings.load_profile("default")


def _missing(marker: str) -> str | None:
    """Tell what this machine lacks for tests with a marker."""
    if marker in {"root", "libvirt"} and os.geteuid() != 0:
        return "root"
    programs = {
        "libvirt": ("libvirtd", "virtlogd", "virsh", "qemu-system-x86_64"),
        "qemu": ("qemu-system-x86_64",),
    }
    for program in programs.get(marker, ()):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            return program
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, but not in CI, where it must run."""
    if _IN_CI:
        return
    for item in items:
        for marker in ("root", "libvirt", "qemu"):
            lacking = _missing(marker) if item.get_closest_marker(marker) else None
            if lacking is not None:
                item.add_marker(pytest.mark.skip(reason=f"needs {lacking}"))


@implementer(ILogObserver)
class _Errors:
    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_failure") is not None or event.get("log_level") is LogLevel.critical:
            self.events.append(event)


@pytest.fixture
def expected_failures() -> list[str]:
    """Parts of the texts of failures that a test means to provoke; it appends to this list."""
    return []


@pytest.fixture(autouse=True)
def no_unexpected_failures(expected_failures: list[str]) -> Iterator[None]:
    """A test that leaves a failure in the log that it did not expect, fails."""
    errors = _Errors()
    globalLogPublisher.addObserver(errors)
    yield
    globalLogPublisher.removeObserver(errors)
    unexpected = [
        event
        for event in errors.events
        if not any(part in str(event.get("log_failure")) for part in expected_failures)
    ]
    assert not unexpected
