"""Files of logs are read by their descriptors, compressed or not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from tests.packed.files import packed_file
from twisted_virtlog.client import LogFile
from twisted_virtlog.ctl import log_files
from twisted_virtlog.ctl.log_files import are_readable, read_at

TEXT = b"".join(b"%015d\n" % number for number in range(40000))


@pytest.fixture
def files() -> Iterator[tuple[LogFile, LogFile]]:
    plain = os.memfd_create("plain")
    os.pwrite(plain, TEXT, 0)
    one = LogFile(1, "h1.a", len(TEXT), False, plain, False)
    other = msgspec.structs.replace(one, compressed=True, descriptor=packed_file(TEXT))
    yield one, other
    os.close(plain)
    os.close(other.descriptor)


@pytest.mark.parametrize("offset", [0, 1, 262143, 262144, len(TEXT) - 1, len(TEXT)])
@pytest.mark.parametrize("count", [0, 1, 100000, 600000])
def test_any_part(files: tuple[LogFile, LogFile], offset: int, count: int) -> None:
    for file in files:
        assert read_at(file, offset, count) == TEXT[offset : offset + count]


def test_without_zstd_compressed_ones_are_left_to_the_daemon(
    files: tuple[LogFile, LogFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert are_readable(files)
    monkeypatch.setattr(log_files, "has_zstd", lambda: False)
    assert are_readable(files[:1])
    assert not are_readable(files)
