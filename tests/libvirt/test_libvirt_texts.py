"""Texts that are not the same in all versions of libvirt, as those said them that were compared."""

from __future__ import annotations

import struct

import pytest

from tests.fakes.administration import FakeDaemon
from tests.libvirt.fakes import AdminClient, string
from twisted_virtlog.libvirt import libvirt_texts
from twisted_virtlog.libvirt.libvirt_texts import OLDEST, TABLE, texts_of, version_of

_SERVER = string(b"virtlogd")


def _parameters(name: bytes, kind: int, value: bytes) -> bytes:
    return (
        _SERVER + struct.pack(">I", 1) + string(name) + struct.pack(">i", kind) + value + bytes(4)
    )


@pytest.mark.parametrize(
    ("version", "detail", "limits", "kind"),
    [
        (9_000_000, b"%s", b"clients waiting for authentication must not be less", b"'llong'"),
        (11_003_000, b"%1$s", b"of clients must not be less than the number", b"'llong'"),
        (12_008_000, b"%1$s", b"of clients must not be less than the number", b"'uint'"),
    ],
)
def test_errors_are_those_of_the_installed_libvirt(
    monkeypatch: pytest.MonkeyPatch, version: int, detail: bytes, limits: bytes, kind: bytes
) -> None:
    """As virtlogd of that version says them."""
    monkeypatch.setattr(libvirt_texts, "installed_version", lambda: version)
    client = AdminClient(FakeDaemon())
    error = client.error(13, _parameters(b"nclients_max", 2, struct.pack(">I", 1)))
    assert error.str1 == b"invalid argument: " + detail
    assert limits in (error.str2 or b"")
    assert error.message == b"invalid argument: " + (error.str2 or b"")
    error = client.error(7, _parameters(b"minWorkers", 3, bytes(8)))
    assert (error.str2 or b"").startswith(b"invalid type " + kind + b" for parameter 'minWorkers'")
    # (without a prefix the form has not changed)
    assert client.error(99, b"").str1 == b"%s"


@pytest.mark.parametrize(
    ("version", "compared"),
    [(1, OLDEST), (9_010_000, OLDEST), (11_003_001, 11_003_000), (99_000_000, max(TABLE))],
)
def test_another_version_speaks_as_the_newest_compared_before_it(
    version: int, compared: int
) -> None:
    """What is older than all of them as the oldest."""
    assert texts_of(version) is TABLE[compared]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("libvirt.so.0.9000.0", 9_000_000),
        ("libvirt.so.0.11003.0", 11_003_000),
        ("libvirt.so.0.7000.2", 7_000_002),
        ("libvirt.so.0", 0),
        ("libvirt.so.0.x", 0),
    ],
)
def test_the_library_s_name_says_the_version(name: str, version: int) -> None:
    """As libtool makes it of libvirt's."""
    assert version_of(name) == version
