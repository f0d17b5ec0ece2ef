"""What keys do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ctl.top import view as keys
from twisted_virtlog.ctl.top.board import ORDERS
from twisted_virtlog.ctl.top.view import SORT_KEYS, View, pressed


def after(*pressed_keys: str, view: View | None = None, logs: int = 100, page: int = 10) -> View:
    """Return what is seen after keys."""
    seen = view or View()
    for key in pressed_keys:
        seen = pressed(seen, key, logs, page)
    return seen


@pytest.mark.parametrize(("key", "order"), SORT_KEYS.items())
def test_sorting(key: str, order: str) -> None:
    """Each key has an order, which begins with its first logs."""
    assert order in ORDERS
    assert after("i", keys.END, key) == View(order=order)
    assert after(key, "i") == View(order=order, is_reversed=True)
    assert after(key, "i", "i") == View(order=order)


def test_each_order_has_a_key() -> None:
    """None can be chosen on the command line alone."""
    assert set(SORT_KEYS.values()) == set(ORDERS)


def test_quit_and_pause() -> None:
    """q ends it, space pauses."""
    assert after("q").has_ended
    assert after(" ").is_paused
    assert not after(" ", " ").is_paused


def test_a_filter_is_typed() -> None:
    """All characters are its letters then; it holds while it is typed."""
    assert after("/", "q").wanted == "q"
    assert not after("/", "q").has_ended
    assert after("/", *"we b").wanted == "we b"
    assert after("/", *"web", keys.ENTER) == View(wanted="web")
    assert after("/", *"web", keys.ENTER, "/", "x", keys.ESCAPE) == View(wanted="web")
    assert after("/", *"web", keys.BACKSPACE).wanted == "we"
    assert after("/", *"web", keys.CLEAR).wanted == ""
    assert after("/", keys.BACKSPACE, keys.UP, "\x01").wanted == ""
    assert after("/", *"x" * 1000).wanted == "x" * 200
    assert after("/", *"web", keys.ENTER, keys.ESCAPE).wanted == ""


@pytest.mark.parametrize(
    ("pressed_keys", "first"),
    [
        ((keys.UP,), 0),
        ((keys.DOWN, "j"), 2),
        ((keys.DOWN, "j", "k", keys.UP), 0),
        ((keys.PAGE_DOWN, keys.PAGE_DOWN, keys.PAGE_UP), 10),
        ((keys.END,), 90),
        ((keys.END, keys.DOWN, keys.PAGE_DOWN), 90),
        ((keys.END, keys.HOME), 0),
    ],
)
def test_scrolling(pressed_keys: tuple[str, ...], first: int) -> None:
    """It stays where logs are."""
    assert after(*pressed_keys) == View(first=first)
    assert after(*pressed_keys, logs=5).first == 0


ALL_KEYS = [
    *SORT_KEYS,
    *("q", "i", "/", " ", "j", "k", "x", keys.UP, keys.DOWN, keys.PAGE_UP, keys.PAGE_DOWN),
    *(keys.HOME, keys.END, keys.ENTER, keys.ESCAPE, keys.BACKSPACE, keys.CLEAR),
]


@given(st.lists(st.sampled_from(ALL_KEYS)), st.integers(0, 50), st.integers(1, 60))
def test_any_keys(pressed_keys: list[str], logs: int, page: int) -> None:
    """Whatever is pressed, there is something to be seen."""
    seen = after(*pressed_keys, logs=logs, page=page)
    assert 0 <= seen.first <= max(0, logs - page)
    assert seen.order in ORDERS
