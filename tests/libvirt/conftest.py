"""Descriptors for the tests of libvirt's protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from twisted_virtlog.libvirt import libvirt_texts


@pytest.fixture
def write_end() -> Iterator[int]:
    """Make a pipe; return its write end."""
    read_end, write_end = os.pipe()
    yield write_end
    os.close(read_end)
    os.close(write_end)


@pytest.fixture(autouse=True)
def libvirt_9(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak as the libvirt of the records, whichever is installed."""
    monkeypatch.setattr(libvirt_texts, "installed_version", lambda: libvirt_texts.OLDEST)
