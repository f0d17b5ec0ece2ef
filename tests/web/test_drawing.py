"""How much of a plain text is drawn, and when, by the browser's own engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.browser import Look, modules_alone

pytestmark = [
    pytest.mark.lengthy,
    pytest.mark.chromium,
]

_DRAWN = """
async ([pieces, label]) => {
  const { PlainText } = await import("./text.js");
  document.body.innerHTML = "<pre id='text'></pre>";
  const text = document.getElementById("text");
  const plain = new PlainText(text);
  let most = 0;
  for (const [piece, times] of pieces) {
    const bytes = new TextEncoder().encode(piece.repeat(times));
    const note = document.createElement("b");
    note.append("note\\n");
    plain.add([piece === "note" ? { note } : { bytes, label }]);
    for (let isMore = true; isMore; ) {
      isMore = plain.draw();
      most = Math.max(most, text.querySelectorAll("*").length);
    }
  }
  getSelection().selectAllChildren(text);
  const labels = [...text.querySelectorAll(".line")].map((line) => line.dataset.time);
  return [text.textContent, getSelection().toString(), labels, most];
}
"""
_FRAMES = """
async () => {
  const { hurry, note } = await import("./frames.js");
  const drawn = [];
  const ask = (name) => requestAnimationFrame(() => drawn.push(name));
  await new Promise((resolve) => requestAnimationFrame(resolve));
  cancelAnimationFrame(ask("taken back"));
  // (so much comes that what is asked for is held back)
  note(2 ** 40);
  cancelAnimationFrame(ask("taken back while it was held"));
  const last = ask("hurried, and taken back");
  ask("drawn");
  hurry();
  cancelAnimationFrame(last);
  await new Promise((resolve) => requestAnimationFrame(resolve));
  await new Promise((resolve) => requestAnimationFrame(resolve));
  return drawn;
}
"""


@pytest.fixture(scope="module")
def look() -> Iterator[Look]:
    """A page with the modules alone, which needs no program."""
    with modules_alone() as made:
        yield made


def drawn(
    look: Look, *pieces: tuple[str, int], label: str | None = None
) -> tuple[str, str, list[str], int]:
    """Return what is drawn, what of it can be copied, what stands beside it, and the most elements.

    :param pieces: what comes one after the other, and how often each is repeated.
    """
    text, copied, labels, most = look.page.evaluate(_DRAWN, [list(pieces), label])
    return text, copied, labels, most


@pytest.mark.parametrize("label", [None, "now"])
def test_what_comes_in_pieces_is_one_text(label: str | None, look: Look) -> None:
    pieces = [("one\ntw", 1), ("o\n\n", 1), ("line\n", 450), ("\x1b[3", 1), ("1mred", 1)]
    text, copied, labels, _ = drawn(look, *pieces, label=label)
    assert text == copied == "one\ntwo\n\n" + "line\n" * 450 + "red"
    assert labels == ([] if label is None else ["now"] * 454)
    text, _, _, _ = drawn(look, ("in a li", 1), ("note", 1), ("ne", 1), label=label)
    assert text == "in a linote\nne"


@pytest.mark.parametrize("label", [None, "now"])
def test_a_text_has_so_many_lines(label: str | None, look: Look) -> None:
    """However they come; and with them so many elements."""
    for pieces in ([("\n", 10**6)], [("\n", 65_536)] * 3, [("\n", 700)] * 30):
        text, _, _, most = drawn(look, ("first", 1), *pieces, ("last\n", 1), label=label)
        assert "first" not in text
        assert text.endswith("\nlast\n")
        assert 10_000 <= text.count("\n") <= 10_200
        assert most < (100 if label is None else 13_000)
    # (what fits stays as it is)
    text, *_ = drawn(look, ("x\n", 9_999), ("and more", 1), label=label)
    assert text == "x\n" * 9_999 + "and more"


@pytest.mark.parametrize("label", [None, "now"])
def test_a_text_has_so_many_characters(label: str | None, look: Look) -> None:
    mebibyte = 1 << 20
    for pieces in ([("x", 3 * mebibyte)], [("x", 100_000)] * 12, [("x" * 200 + "\n", 10_000)]):
        text, *_ = drawn(look, *pieces, ("last\n", 1), label=label)
        assert text.endswith("last\n")
        assert mebibyte <= len(text) <= mebibyte + 65_536 + 5
    # A line that is too long to be laid out goes on in the next.
    text, copied, labels, _ = drawn(look, ("x", 70_000), ("x", 70_000), label=label)
    assert text == "x" * 140_000
    assert copied.split("\n") == ["x" * 65_536, *copied.split("\n")[1:]]
    assert copied.replace("\n", "") == text
    assert labels == ([] if label is None else ["now"] + [""] * (len(labels) - 1))


def test_a_frame_that_was_asked_for_is_taken_back(look: Look) -> None:
    assert look.page.evaluate(_FRAMES) == ["drawn"]
