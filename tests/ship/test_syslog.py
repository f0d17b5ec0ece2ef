"""Lines as messages of RFC 5424."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ship.lines import Line, lines_of
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.sink import Source
from twisted_virtlog.ship.syslog import SyslogWriter
from twisted_virtlog.values import Domain, Position

NOW = datetime(2026, 11, 28, 7, 0, 0, 123456, timezone.utc)
GUEST = Domain("11111111-2222-3333-4444-555555555555", "web")


def written(source: Source, line: Line) -> str:
    """Return a message as text."""
    return SyslogWriter(source, NOW).message(line).decode()


def line(data: bytes, **members: object) -> Line:
    """Return one at the beginning of a file."""
    end = Position(7, len(data) + 1, "h1.x")
    members = {"begins_line": True, "ends_line": True, **members}
    return Line(data, Position(7, 0, "h1.x"), end, **members)  # type: ignore[arg-type]


def test_a_line_and_where_it_stands() -> None:
    """The structured data says whose it is, and from where to where."""
    source = Source("node17", "/var/log/web.log", "QEMU", GUEST)
    assert written(source, line(b"hello")) == (
        "<134>1 2026-11-28T07:00:00.123456+00:00 node17 web - - "
        '[virtlog@32473 path="/var/log/web.log" driver="QEMU"'
        ' uuid="11111111-2222-3333-4444-555555555555" domain="web"'
        ' start="7:0:h1.x" end="7:6:h1.x"] hello'
    )


def test_what_is_cut_or_missing_is_said() -> None:
    """Only then."""
    source = Source("node17", "/a", "QEMU", None)
    text = written(source, line(b"hello", begins_line=False, gap=True, missed=3))
    assert text.endswith('end="7:6:h1.x" cut="begin" missed="3"] hello')
    assert 'missed="unknown"' in written(source, line(b"", gap=True))


def test_names_break_nothing() -> None:
    """Neither the header nor the structured data."""
    source = Source("a host", '/v"]\\/\udcff', "QEMU", Domain(GUEST.uuid, "wëb 1\n" + "x" * 60))
    text = written(source, line(b"hello"))
    assert text.startswith(f"<134>1 {NOW.isoformat()} a?host w?b?1?{'x' * 42} - - [")
    assert r'path="/v\"\]\\/�"' in text


def test_names_that_are_too_long_end_with_a_hash() -> None:
    """So that there is room for the line, and others are others."""
    one, two = (
        written(Source("n", f"/{'x' * 4000}{end}", "QEMU", None), line(b"hello")) for end in "ab"
    )
    assert len(one) < 800
    assert one != two
    assert written(Source("h" * 500, "/a", "QEMU", None), line(b"")).split(" ")[2] == "h" * 255


@given(
    st.text(max_size=600),
    st.text(max_size=200),
    st.integers(0, 2**63),
    st.lists(st.sampled_from([b"a" * 50, b"\n", "€".encode()]), min_size=1),
)
def test_no_message_is_too_long(path: str, name: str, offset: int, parts: list[bytes]) -> None:
    """However long the names are."""
    path = path.encode("utf-8", "replace").decode()
    data = b"".join(parts)
    end = Position(2**64 - 1, len(data) // 2, "b" * 40)
    message = Message(data, Position(7, offset, "b" * 40), end, False, False, True, 2**62)
    writer = SyslogWriter(Source("n" * 300, path, name, Domain(GUEST.uuid, name)), NOW)
    most = 4096
    room = most - writer.longest_beside(message)
    assert room >= 256
    for one in lines_of(message, room):
        assert len(writer.message(one)) <= most
