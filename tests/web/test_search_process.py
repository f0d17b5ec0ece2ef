"""The process that searches files, compressed ones too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.daemon import CHECKOUT
from tests.packed.files import packed_file
from twisted_virtlog.web import search_process
from twisted_virtlog.web.search_process import found, found_in_pieces

PROGRAM = search_process.__file__
LINES = [b"[%8d] a line of a guest, and what it says\n" % number for number in range(150_000)]


def searched(pattern: str, *files: tuple[int, int, bool]) -> list[Any]:
    """Return what the process tells of files."""
    asked = {
        "pattern": pattern,
        "is_regex": True,
        "ignore_case": False,
        "most": 5,
        "files": files,
        "modules": [str(CHECKOUT), *filter(None, sys.path)],
    }
    run = subprocess.run(
        [sys.executable, "-I", "-S", PROGRAM],
        input=json.dumps(asked).encode(),
        stdout=subprocess.PIPE,
        pass_fds=[file[0] for file in files],
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_what_was_found_is_told_before_the_rest_is_searched() -> None:
    """The process may be ended by then."""
    file = os.memfd_create("file")
    os.write(file, b"first\n" + b"a" * 60 + b"b\n")
    asked = {
        "pattern": "first|(a+)+$",
        "is_regex": True,
        "ignore_case": False,
        "most": 5,
        "files": [(file, 68, False)],
        "modules": [],
    }
    with subprocess.Popen(
        [sys.executable, "-I", "-S", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[file],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asked).encode())
        process.stdin.close()
        try:
            assert json.loads(process.stdout.readline()) == [0, 0, "first"]
            assert process.poll() is None
        finally:
            process.kill()
            os.close(file)


@pytest.mark.parametrize("before", [0, 399, 400, 1_000_000])
def test_in_a_long_line_the_place_is_that_of_what_is_shown(before: int) -> None:
    data = b"first\n" + b"x" * before + b"needle" + b"x" * 1000 + b"\n"
    ((at, text),) = found(re.compile(b"needle"), data, len(data))
    assert data[at:].startswith(text)
    assert b"needle"[:1] in text
    assert at == 6 + (before if before >= 400 else 0)


@given(
    st.lists(st.sampled_from([b"ab", b"b", b"\n", b"a\n", b"\r\n", b""]), max_size=20),
    st.sampled_from([b"a", b"^b", b"b$", b"a|b", b"^$"]),
)
def test_however_a_file_is_cut_the_same_is_found(pieces: list[bytes], text: bytes) -> None:
    pattern, whole = re.compile(text, re.MULTILINE), b"".join(pieces)
    assert list(found_in_pieces(pattern, pieces)) == list(found(pattern, whole, len(whole)))


def test_a_very_long_line_is_searched_in_parts() -> None:
    piece = b"x" * (1 << 20)
    pieces = [b"start\n", *[piece] * 40, b"y\nend y\n"]
    assert [at for at, _ in found_in_pieces(re.compile(b"y"), pieces)][-1] == 6 + (40 << 20) + 2


def test_compressed_files_are_searched_where_they_are() -> None:
    """Of more than is unpacked at once, with what is not compressed after them."""
    data = b"".join(LINES)
    packed, plain = packed_file(data), os.memfd_create("plain")
    try:
        os.write(plain, b"plain\n[  149999] is here, too\n")
        files = ((packed, len(data), True), (plain, 33, False))
        told = searched(r"^\[ *(7|149999)\]", *files)
    finally:
        os.close(packed)
        os.close(plain)
    at = [sum(map(len, LINES[:number])) for number in (7, 149_999)]
    assert [one[:2] for one in told] == [[0, at[0]], [0, at[1]], [1, 6]]
    assert told[1][2] == LINES[-1].decode().rstrip()


def test_what_goes_over_a_line_end_is_found_in_compressed_files() -> None:
    """Also where a part of them ends that is unpacked at once."""
    data = b"".join(LINES)
    packed = packed_file(data)
    frames = range(1 << 20, len(data), 1 << 20)
    # (of each the last line that is whole)
    starts = [data.rfind(b"\n", 0, data.rfind(b"\n", 0, at)) + 1 for at in frames]
    texts = [re.escape(data[at : at + 10].decode()) for at in starts]
    try:
        told = searched(f"(?:{'|'.join(texts)})[^\\n]*\n\\[", (packed, len(data), True))
    finally:
        os.close(packed)
    assert [one[1] for one in told] == starts[:5]


@pytest.mark.parametrize("size", [0, 100])
def test_what_cannot_be_read_is_said(size: int) -> None:
    """A broken file, and one that another program has cut."""
    broken, cut = os.memfd_create("broken"), os.memfd_create("cut")
    try:
        os.write(broken, b"x" * size)
        os.write(cut, b"the end\n")
        assert searched("e", (broken, 1000, True), (cut, 1000, False)) == [None, [1, 0, "the end"]]
    finally:
        os.close(broken)
        os.close(cut)
