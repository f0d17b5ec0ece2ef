"""What all tests share: hypothesis's profile, what is skipped where, and no error left unseen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from tests.effort import examples

_IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}

#: What a marker's tests need, beside root's rights for some.
_PROGRAMS = {
    "root": ("unshare", "mount", "setpriv"),
    "fuse": (),
    "libvirt": ("libvirtd", "virtlogd", "virsh", "virt-admin", "qemu-system-x86_64"),
    "qemu": ("qemu-system-x86_64",),
    "socat": ("socat",),
    "nats": ("nats-server",),
    "rotel": ("rotel-agent",),
    "rsyslog": ("rsyslogd",),
    "openssl": ("openssl",),
    "curl": ("curl",),
    "zstd": ("zstd", "zstdcat"),
    "jq": ("jq",),
    "systemd_analyze": ("systemd-analyze",),
    "tmux": ("tmux",),
    "promtool": ("promtool",),
    "chromium": ("chromium",),
    "prometheus": ("prometheus", "systemctl"),
}

settings.register_profile(
    "default",
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=_IN_CI,
)
settings.load_profile("default")


def _missing(marker: str) -> str | None:
    """Return what this machine lacks for tests with a marker."""
    if marker in {"root", "fuse", "libvirt"} and os.geteuid() != 0:
        return "root"
    if marker == "fuse" and not os.path.exists("/dev/fuse"):
        return "/dev/fuse"
    if marker == "chromium" and find_spec("playwright") is None:
        return "playwright"
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if marker == "rotel" and (found := find_spec("rotel")) is not None:
        # (its program comes in a package of PyPI)
        path += f":{Path(found.origin or '').parent}"
    return next((name for name in _PROGRAMS[marker] if shutil.which(name, path=path) is None), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run. In CI it fails: a test that never runs shows nothing."""
    for marker in _PROGRAMS:
        lacking = _missing(marker) if item.get_closest_marker(marker) else None
        if lacking is not None and _IN_CI:
            pytest.fail(f"needs {lacking}, and CI runs every test", pytrace=False)
        if lacking is not None:
            pytest.skip(f"needs {lacking}")


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory of a short name: a UNIX socket's path has 107 bytes at most.

    pytest's own are named after their tests, and leave too little to a user with a long name.
    """
    return tmp_path_factory.mktemp("t")


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
