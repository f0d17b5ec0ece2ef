"""What the page leaves out of a flood, by the browser's own engine."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.browser import Look, modules_alone

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.chromium,
]

_TAKEN = """
async ([events, most]) => {
  const { newest } = await import("./newest.js");
  const { bytesOf } = await import("./api.js");
  let read;
  const all = new Promise((resolve) => { read = resolve; });
  const stream = async function* () {
    yield { kind: "begin", value: {} };
    yield* events;
    read();
    throw new Error("gone");
  };
  const taken = [];
  try {
    for await (const { kind, value } of newest(stream(), most)) {
      const bytes = value.bytes ?? (kind === "data" ? bytesOf(value.data) : null);
      const text = kind === "data" ? new TextDecoder().decode(bytes) : bytes;
      taken.push([kind, value.start, value.end, text]);
      await all;
    }
  } catch (error) {
    taken.push([error.message]);
  }
  return taken;
}
"""


@pytest.fixture(scope="module")
def look() -> Iterator[Look]:
    """A page with the modules alone, which needs no program."""
    with modules_alone() as made:
        yield made


def data(at: int, text: bytes, **more: object) -> dict[str, Any]:
    """Return the event that brings some bytes of a file."""
    places = {"start": f"7:{at}:b", "end": f"7:{at + len(text)}:b"}
    value = {**places, "data": base64.b64encode(text).decode(), **more}
    return {"kind": "data", "value": value}


def taken(look: Look, most: int, *events: dict[str, Any]) -> list[list[object]]:
    """Return what somebody gets who begins when all has come, after the first event."""
    first, *found, last = look.page.evaluate(_TAKEN, [list(events), most])
    # (also of a stream that breaks all is taken that came)
    assert (first[0], last) == ("begin", ["gone"])
    return found


def test_what_is_not_too_much_is_taken_as_it_came(look: Look) -> None:
    found = taken(look, 8, data(0, b"abcd"), data(4, b"ef\ng"))
    assert found == [["data", "7:0:b", "7:4:b", "abcd"], ["data", "7:4:b", "7:8:b", "ef\ng"]]


def test_the_oldest_is_left_out_to_the_start_of_a_line(look: Look) -> None:
    events = [data(at, b"012345678\n0123456") for at in range(0, 170, 17)]
    skipped, *rest = taken(look, 100, *events)
    assert skipped[0] == "skipped"
    end = rest[0][1]
    assert skipped[1:] == ["7:0:b", end, int(str(end).split(":")[1])]
    whole = "".join("012345678\n0123456" for _ in range(10))
    assert "".join(str(one[3]) for one in rest) == whole[int(str(skipped[3])) :]
    assert whole[int(str(skipped[3])) - 1] == "\n"
    assert len(rest) < 7


def test_where_bytes_are_missing_is_always_said(look: Look) -> None:
    before = {"start": "7:0:b", "end": "7:90:b", "bytes": 90}
    found = taken(
        look,
        8,
        {"kind": "skipped", "value": before},
        data(90, b"abcdef"),
        data(200, b"ghijkl", gap=True, missed=104),
        data(206, b"mn\nopq"),
        data(212, b"rs"),
    )
    assert found == [
        ["skipped", "7:0:b", "7:96:b", 96],
        ["data", "7:200:b", "7:200:b", ""],
        ["skipped", "7:200:b", "7:206:b", 6],
        ["data", "7:206:b", "7:212:b", "mn\nopq"],
        ["data", "7:212:b", "7:214:b", "rs"],
    ]


def test_of_much_with_many_gaps_little_is_kept(look: Look) -> None:
    events = [data(20 * at, b"x" * 10, gap=True, missed=10) for at in range(100)]
    found = taken(look, 50, *events)
    assert [one[1] for one in found if one[0] == "data"] == [f"7:{20 * at}:b" for at in range(100)]
    brought = "".join(str(one[3]) for one in found if one[0] == "data")
    left_out = sum(int(str(one[3])) for one in found if one[0] == "skipped")
    assert len(brought) <= 50
    assert len(brought) + left_out == 1000
