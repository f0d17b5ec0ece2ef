"""Daemons whose logs are shipped, and a certificate of who takes them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import Daemon, running
from tests.ship.processes import user


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Run one with small files, and consumers."""
    with contextlib.ExitStack() as stack:
        consumers = ", ".join(f'"{kind}:{user()}"' for kind in ("nats", "otlp", "relp"))
        settings = ("max_size = 100000", "max_backups = 32", f"consumers = [ {consumers} ]")
        yield stack.enter_context(running(tmp_path / "daemon", settings))


@pytest.fixture
def holding_daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Run one that keeps little, but for consumers."""
    with contextlib.ExitStack() as stack:
        consumers = f'consumers = [ "relp:{user()}" ]'
        settings = ("max_size = 20000", "max_backups = 1", consumers)
        yield stack.enter_context(running(tmp_path / "daemon", settings))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Make one for this host; return it and its key."""
    made, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True
    )
    return made, key
