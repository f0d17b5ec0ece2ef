"""The logs that the daemon knows are remembered, within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.logs.known import NOBODY, KnownLogs, Opener

_NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=30)


@given(_NAMES, _NAMES, st.integers(1, 9))
def test_those_named_last_are_kept(earlier: list[str], later: list[str], most: int) -> None:
    """Also when another image named the earlier ones."""
    once, former, known = (KnownLogs(most) for _ in range(3))
    for name in (*earlier, *later):
        once.add(name)
    for name in earlier:
        former.add(name)
    for name in later:
        known.add(name)
    known.add_earlier(former.paths())
    assert known.paths() == once.paths()
    assert len(known) <= most
    last = list(dict.fromkeys(reversed([*earlier, *later])))[:most]
    assert set(known.paths()) == set(last)
    assert all(name in known for name in last)


def test_who_opened_a_log_last_is_known() -> None:
    """Also if it is named again by somebody who does not know, or was opened before the start."""
    known = KnownLogs()
    assert known.opener("/a") == NOBODY
    known.add("/a", Opener("qemu", None))
    known.add("/a")
    assert known.opener("/a") == Opener("qemu", None)
    known.add("/b")
    known.add_opened([("/a", Opener("lxc", None)), ("/b", Opener("lxc", None))])
    assert known.opener("/a") == Opener("qemu", None)
    assert known.opener("/b") == Opener("lxc", None)
    known.discard("/a")
    assert known.opener("/a") == NOBODY
