"""The pieces of a log, and the blocks of lines that they become."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import LogFile, Position
from twisted_virtlog.ctl.grep import blocks as blocks_module
from twisted_virtlog.ctl.grep import pieces as pieces_module
from twisted_virtlog.ctl.grep.blocks import blocks
from twisted_virtlog.ctl.grep.pieces import Piece, file_pieces, until_line_end


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read little at once, so that lines and ranges begin and end everywhere in a piece."""
    monkeypatch.setattr(pieces_module, "PIECE_BYTES", 4)


def opened(directory: Path, contents: list[bytes]) -> list[LogFile]:
    """Return files with these contents, open; their inode numbers are 0, 1 and so on."""
    files = []
    for number, content in enumerate(contents):
        path = directory / str(number)
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        files.append(LogFile(number, f"h1.{number}", len(content), False, descriptor))
    return files


def is_open(descriptor: int) -> bool:
    """Return whether a descriptor is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


CONTENTS = st.lists(
    st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\n", b"ccccccc", b"\0"]), max_size=6).map(
        b"".join
    ),
    min_size=1,
    max_size=3,
)


@given(CONTENTS)
def test_blocks_are_whole_lines_of_all_files(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    """They are the text, and each byte has its position in its file."""
    files = opened(tmp_path_factory.mktemp("files"), contents)
    found = list(blocks(file_pieces(files, None, parted=True)))
    text = b"".join(contents)
    assert b"".join(block.data for block in found) == text
    assert all(block.data.endswith(b"\n") for block in found[:-1])
    assert [block.parted for block in found] == [number == 0 for number in range(len(found))]
    expected = [
        Position(number, offset, f"h1.{number}")
        for number, content in enumerate(contents)
        for offset in range(len(content))
    ]
    positions = [block.position(offset) for block in found for offset in range(len(block.data))]
    assert positions == expected
    assert not any(is_open(file.descriptor) for file in files)


@given(CONTENTS, st.data())
def test_a_range_is_made_of_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], data: st.DataObject
) -> None:
    """From the line with its first byte to the end of the one with its last."""
    text = b"".join(contents)
    begins = [len(b"".join(contents[:number])) for number in range(len(contents))]
    first, last = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))

    def position(index: int) -> Position:
        number = max(number for number, begin in enumerate(begins) if begin <= index)
        return Position(number, index - begins[number], f"h1.{number}")

    start, end = position(first), position(last)
    files = opened(tmp_path_factory.mktemp("files"), contents[start.inode :])
    files = [
        LogFile(number, f"h1.{number}", file.size, False, file.descriptor)
        for number, file in enumerate(files, start.inode)
    ]
    found = b"".join(
        piece.data for piece in until_line_end(file_pieces(files, start, parted=True), end)
    )
    # (what comes before the file of the start is not looked at)
    begin = max(text.rfind(b"\n", 0, first) + 1, begins[start.inode])
    stop = last
    if last > begin and text[last - 1 : last] != b"\n":
        stop = text.find(b"\n", last) + 1 or len(text)
    assert found == text[begin : max(stop, begin)]


def test_what_is_missing_between_pieces_ends_a_line() -> None:
    """The two parts are not one line."""
    pieces = [Piece(b"a\nb", Position(1, 7)), Piece(b"c\nd", Position(2, 9), parted=True)]
    found = [(block.data, block.parted) for block in blocks(pieces)]
    assert found == [(b"a\n", False), (b"b", False), (b"c\n", True), (b"d", False)]


def test_a_very_long_line_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no log takes all memory."""
    monkeypatch.setattr(blocks_module, "LONGEST_LINE_BYTES", 6)
    pieces = [Piece(b"abcd", Position(1, 4 * number)) for number in range(5)]
    found = [block.data for block in blocks(pieces)]
    assert found == [b"abcdabcd", b"abcdabcd", b"abcd"]


def test_a_file_that_was_cut_ends_early(tmp_path: Path) -> None:
    """The next one is read all the same."""
    files = opened(tmp_path, [b"abcdefgh\n", b"next\n"])
    os.truncate(tmp_path / "0", 5)
    found = b"".join(piece.data for piece in file_pieces(files, None, parted=True))
    assert found == b"abcdenext\n"


def test_a_gap_between_files_ends_a_line(tmp_path: Path) -> None:
    """Nobody knows how it went on."""
    first, second = opened(tmp_path, [b"ab", b"c\n"])
    second = msgspec.structs.replace(second, gap=True)
    found = [block.data for block in blocks(file_pieces([first, second], None, parted=True))]
    assert found == [b"ab", b"c\n"]


def test_who_stops_early_leaves_no_descriptor(tmp_path: Path) -> None:
    """Closing the generator closes the files."""
    files = opened(tmp_path, [b"a\n", b"b\n", b"c\n"])
    pieces = file_pieces(files, None, parted=True)
    assert next(pieces).data == b"a\n"
    pieces.close()
    assert not any(is_open(file.descriptor) for file in files)


def test_a_start_in_another_file_means_all(tmp_path: Path) -> None:
    """The file of the position is gone, whose number another one has now."""
    files = opened(tmp_path, [b"abc\nd\n"])
    start = Position(0, 4, "h1.other")
    assert b"".join(piece.data for piece in file_pieces(files, start, parted=True)) == b"abc\nd\n"


def test_positions_of_what_is_not_known() -> None:
    """They are None, and those after it are known again."""
    (block,) = blocks([Piece(b"ab", None), Piece(b"c\n", Position(1, 5))])
    assert [block.position(offset) for offset in range(4)] == [
        None,
        None,
        Position(1, 5),
        Position(1, 6),
    ]
