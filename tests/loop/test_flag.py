"""A descriptor that calls for as long as it is wanted."""

from __future__ import annotations

import select

from twisted_virtlog.loop.flag import Flag


def is_readable(flag: Flag) -> bool:
    """Return whether a reactor would be called."""
    return bool(select.select([flag.fileno()], [], [], 0)[0])


def test_it_is_readable_while_it_is_up() -> None:
    """However often it was put up, or taken down."""
    flag = Flag()
    assert not is_readable(flag)
    for _ in range(2):
        flag.put_up()
        assert is_readable(flag)
    for _ in range(2):
        flag.take_down()
        assert not is_readable(flag)
    flag.put_up()
    assert is_readable(flag)
    flag.close()


def test_a_closed_one_is_left_alone() -> None:
    """Whoever asks for a turn may do so after the end."""
    flag = Flag()
    flag.put_up()
    flag.close()
    flag.put_up()
    flag.take_down()
    assert flag.fileno() == -1
