"""What all logs have written and lost, added up while they are opened, written and closed."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.logs.accounts.account import Account, SeenFile
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.layout import APPENDED, END, GUEST, NOTICE
from twisted_virtlog.logs.accounts.sums import summed
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.values import ByteSums, Dropped, DropReason, Written


class World:
    """Some logs, each of which is counted."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.open: list[Account] = []
        self._written = [0, 0, 0]
        self._dropped = dict.fromkeys(DropReason, 0)
        self._number = 0

    def begin(self) -> None:
        """Open a log."""
        self._number += 1
        account = self.accounts.make()
        self.accounts.name(account, self._number)
        account.begin([None])
        account.use(SeenFile(self._number, 0), None)
        self.open.append(account)

    def write(self, which: int, kind: int, count: int) -> None:
        """Write bytes into a log."""
        account = self.open[which % len(self.open)]
        account.turn(kind)
        account.words[account.at + END] += count
        self._written[kind] += count

    def drop(self, which: int, reason: DropReason, count: int) -> None:
        """Drop bytes of a log, in its thread."""
        self.open[which % len(self.open)].drop(count, reason)
        self._dropped[reason] += count

    def drop_elsewhere(self, which: int, count: int) -> None:
        """Drop bytes of a log, in another thread."""
        account = self.open[which % len(self.open)]
        account.drop_elsewhere(count, DropReason.STOPPED)
        self._dropped[DropReason.STOPPED] += count

    def end(self, which: int) -> None:
        """Close a log."""
        self.accounts.close(self.open.pop(which % len(self.open)))

    @property
    def expected(self) -> ByteSums:
        """What there is now."""
        return ByteSums(Written(*self._written), Dropped(*self._dropped.values()))


_WHICH = st.integers(0, 1000)
_COUNTS = st.integers(0, 10**9)
_DEEDS = st.one_of(
    st.just(lambda world: world.begin()),
    st.builds(
        lambda which, kind, count: lambda world: world.write(which, kind, count),
        _WHICH,
        st.sampled_from([GUEST, APPENDED, NOTICE]),
        _COUNTS,
    ),
    st.builds(
        lambda which, reason, count: lambda world: world.drop(which, reason, count),
        _WHICH,
        st.sampled_from(list(DropReason)),
        _COUNTS,
    ),
    st.builds(
        lambda which, count: lambda world: world.drop_elsewhere(which, count), _WHICH, _COUNTS
    ),
    st.builds(lambda which: lambda world: world.end(which), _WHICH),
)


@given(st.integers(0, 200), st.lists(_DEEDS), st.lists(st.lists(_DEEDS, max_size=5), max_size=4))
def test_what_is_added_up_is_what_was_counted(
    logs: int,
    before: list[Callable[[World], None]],
    meanwhile: list[list[Callable[[World], None]]],
) -> None:
    """Each log once, if some are opened and closed meanwhile; no sum is ever less than before."""
    world = World()
    for _ in range(logs + 1):
        world.begin()
    for deed in before:
        if world.open:
            deed(world)
    at_first = world.expected
    slices = summed(world.accounts)
    found: list[ByteSums] = []
    steps = iter(meanwhile)
    while not found:
        try:
            next(slices)
        except StopIteration as end:
            found.append(end.value)
            break
        for deed in next(steps, []):
            if world.open:
                deed(world)
    at_last = world.expected
    sums = map(_numbers, (at_first, found[0], at_last))
    assert all(low <= found <= high for low, found, high in zip(*sums, strict=True))
    assert at_once(summed(world.accounts)) == at_last


def _numbers(sums: ByteSums) -> list[int]:
    return [
        getattr(part, name)
        for part in (sums.written, sums.dropped)
        for name in part.__struct_fields__
    ]


def test_what_closes_meanwhile_is_counted_once() -> None:
    """Also where its memory is another log's already."""
    world = World()
    for _ in range(100):
        world.begin()
    for which in range(100):
        world.write(which, GUEST, 1000)
    slices = summed(world.accounts)
    next(slices)
    # (one that was added up already, and one that was not)
    world.end(0)
    world.end(-1)
    world.begin()
    world.write(-1, APPENDED, 7)
    assert at_once(slices) == ByteSums(Written(100_000, 7, 0), Dropped())
