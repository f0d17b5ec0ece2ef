"""Files are packed and read again, by this and by zstd's own program."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.packed.files import packed_file
from twisted_virtlog.packed import codec
from twisted_virtlog.packed.codec import Packer, unpack
from twisted_virtlog.packed.format import FRAME_BYTES, Origin
from twisted_virtlog.packed.making import unpack_file
from twisted_virtlog.packed.reading import origin_of, read_packed

_LINES = b"".join(b"[%8d] a line of a guest, and what it says\n" % n for n in range(20000))


def _file(data: bytes = b"") -> int:
    file = os.memfd_create("packed")
    os.pwrite(file, data, 0)
    return file


def _read_all(file: int) -> bytes:
    found = b""
    while data := read_packed(file, len(found), 1 << 30):
        found += data
    return found


@settings(deadline=None)
@given(
    st.binary(max_size=300),
    st.integers(0, 4 * FRAME_BYTES),
    st.lists(st.tuples(st.integers(-5, 4 * FRAME_BYTES + 5), st.integers(0, FRAME_BYTES * 2))),
)
def test_any_part_is_read(seed: bytes, size: int, parts: list[tuple[int, int]]) -> None:
    data = ((seed or b"\0") * (size // len(seed or b"\0") + 1))[:size]
    file = packed_file(data)
    try:
        assert origin_of(file) == Origin(5, "h1.x", size)
        assert _read_all(file) == data
        for offset, count in parts:
            found = read_packed(file, offset, count)
            if offset < 0:
                assert found == b""
                continue
            rest_of_frame = FRAME_BYTES - offset % FRAME_BYTES
            assert found == data[offset : offset + min(count, rest_of_frame)]
    finally:
        os.close(file)


def test_what_cannot_be_made_smaller_is_read_too() -> None:
    data = os.urandom(2 * FRAME_BYTES + 1)
    file = packed_file(data)
    assert _read_all(file) == data
    os.close(file)


@pytest.mark.zstd
@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES, 3 * FRAME_BYTES + 100])
def test_zstdcat_reads_it(tmp_path: Path, size: int) -> None:
    data = (_LINES * 2)[:size]
    path = tmp_path / "x.zst"
    file = packed_file(data)
    path.write_bytes(os.pread(file, 1 << 30, 0))
    os.close(file)
    assert subprocess.run(["zstdcat", path], capture_output=True, check=True).stdout == data
    subprocess.run(["zstd", "-q", "--test", path], check=True)


def test_a_file_is_unpacked_as_it_was() -> None:
    file, target = packed_file(_LINES), _file()
    origin = origin_of(file)
    assert origin is not None
    unpack_file(file, target, origin)
    assert os.pread(target, 1 << 30, 0) == _LINES
    os.close(file)
    os.close(target)


def test_a_file_that_was_cut_meanwhile_is_not_packed() -> None:
    with pytest.raises(OSError, match="shorter") as caught:
        packed_file(b"abc", Origin(5, "", 4))
    assert caught.value.errno == errno.ENODATA


def test_text_becomes_much_smaller() -> None:
    file = packed_file(_LINES)
    assert os.fstat(file).st_size * 5 < len(_LINES)
    os.close(file)


@pytest.mark.parametrize("data", [b"", b"a log\n", _LINES])
def test_other_files_are_no_packed_ones(data: bytes) -> None:
    file = _file(data)
    assert origin_of(file) is None
    with pytest.raises(OSError, match="packed file") as caught:
        read_packed(file, 0, 1)
    assert caught.value.errno == errno.EIO
    os.close(file)


@pytest.mark.parametrize("at", [0.3, 0.5, 0.999])
def test_a_broken_file_fails_and_gives_nothing_else(at: float) -> None:
    file = packed_file(_LINES)
    place = int(os.fstat(file).st_size * at)
    os.pwrite(file, bytes([os.pread(file, 1, place)[0] ^ 1]), place)
    with pytest.raises(OSError, match="packed file"):
        _read_all(file)
    os.close(file)


def test_a_file_that_was_cut_fails() -> None:
    file = packed_file(_LINES)
    os.ftruncate(file, os.fstat(file).st_size - 1)
    with pytest.raises(OSError, match="no seek table"):
        read_packed(file, 0, 1)
    os.close(file)


def test_no_more_is_unpacked_than_is_wanted() -> None:
    frame = Packer().pack(bytes(1 << 20))
    for size in (0, 100, (1 << 20) - 1, (1 << 20) + 1):
        with pytest.raises(ValueError, match="does not hold"):
            unpack(frame, size)
    assert unpack(frame, 1 << 20) == bytes(1 << 20)


def test_without_zstd_an_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    file = packed_file(_LINES)

    def no_zstd() -> object:
        raise codec.NoZstd

    monkeypatch.setattr(codec, "_zstd", no_zstd)
    assert not codec.has_zstd()
    with pytest.raises(OSError, match=r"backports\.zstd") as caught:
        read_packed(file, 0, 1)
    assert caught.value.errno == errno.ENOPKG
    os.close(file)
