"""Who watches logs takes what happened to them, as late as he likes."""

from __future__ import annotations

from datetime import datetime, timezone

from twisted_virtlog.logs.following.watching import Watch
from twisted_virtlog.values import LogState, LogStatus, Position, Watched, WatchKind

_AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def event(path: str, kind: WatchKind = WatchKind.OPENED) -> Watched:
    """Return what happened to a log."""
    status = LogStatus(path, "qemu", None, Position(1, 2), _AT, 0, 0, LogState.OPEN, None, 0, 3)
    return Watched(kind, status)


class Watcher:
    """Has a watch.

    :ivar calls: how often he was told that there is something, and ``left`` who has left.
    """

    def __init__(self, before: tuple[Watched, ...] = (), most: int = 4) -> None:
        self.calls = 0
        self.left: list[Watch] = []
        self.watch = Watch(self._ready, self.left.append, before, most)

    def _ready(self) -> None:
        self.calls += 1

    def taken(self) -> list[Watched]:
        """Take all."""
        found = []
        while (one := self.watch.take()) is not None:
            found.append(one)
        return found


def test_all_that_happens_is_taken_in_order() -> None:
    """He is told once that there is something, until he has taken it."""
    watcher = Watcher()
    events = [event("/a"), event("/b"), event("/a", WatchKind.CLOSED)]
    for one in events:
        watcher.watch.add(one)
    assert watcher.calls == 1
    assert watcher.taken() == events
    watcher.watch.add(events[0])
    assert watcher.calls == 2
    assert watcher.taken() == events[:1]


def test_of_much_that_nobody_takes_the_last_of_each_log_is_left() -> None:
    """In the order in which these happened."""
    watcher = Watcher(most=4)
    for _ in range(100):
        watcher.watch.add(event("/a"))
        watcher.watch.add(event("/b", WatchKind.STATE))
        watcher.watch.add(event("/a", WatchKind.CLOSED))
    taken = watcher.taken()
    assert len(taken) <= 4
    assert taken[-2:] == [event("/b", WatchKind.STATE), event("/a", WatchKind.CLOSED)]


def test_what_was_not_taken_goes_over() -> None:
    """Of each log the last; it comes before what happens in the next image."""
    former = Watcher()
    for one in (event("/a"), event("/b"), event("/a", WatchKind.CLOSED)):
        former.watch.add(one)
    before = former.watch.suspended()
    assert before == (event("/b"), event("/a", WatchKind.CLOSED))
    later = Watcher(before)
    later.watch.add(event("/c"))
    assert later.taken() == [*before, event("/c")]


def test_nobody_takes_anything_from_a_watch_that_was_left() -> None:
    """Whoever made it is told."""
    watcher = Watcher((event("/a"),))
    watcher.watch.stop()
    assert watcher.left == [watcher.watch]
    assert watcher.taken() == []
