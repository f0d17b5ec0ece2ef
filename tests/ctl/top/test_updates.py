"""What the daemon tells of logs, over connections that end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.fake_daemon import LOG, FakeDaemon, Params, Refusal
from twisted_virtlog.client import RemoteError
from twisted_virtlog.client.feed import Feed
from twisted_virtlog.ctl.top.updates import Listed, Lost, Told, Update, updates


def begin(daemon: FakeDaemon, interval: float = 60.0) -> Iterator[Update]:
    """Yield what is told."""

    def connect() -> Feed:
        return Feed(str(daemon.path), 30)

    return updates(connect(), connect, interval)


def asked(daemon: FakeDaemon) -> list[str]:
    """Return what the daemon was asked, in order."""
    return [request["method"] for request in daemon.requests]


def refuse(code: int) -> Any:
    """Return what answers with an error."""

    def answer(_params: Params) -> Any:
        raise Refusal(code, "not so")

    return answer


def test_it_watches_before_it_lists(daemon: FakeDaemon) -> None:
    """So that nothing happens unseen; and lists again soon, as there is no rate before."""
    daemon.answers["log.list"] = lambda _params: [LOG]
    coming = begin(daemon)
    first, second = next(coming), next(coming)
    assert isinstance(first, Listed)
    assert isinstance(second, Listed)
    assert [log.path for log in first.logs] == [LOG["path"]]
    assert second.time > first.time
    assert asked(daemon) == ["log.watch", "log.list", "log.list"]


def test_what_happens_is_told_at_once(daemon: FakeDaemon) -> None:
    """Long before the next list."""
    coming = begin(daemon)
    next(coming)
    next(coming)
    daemon.notify(1, "log.opened", log=LOG)
    daemon.notify(1, "log.state", log={**LOG, "state": "failing", "error": "broken"})
    daemon.notify(1, "log.closed", log={**LOG, "state": "closed", "position": None})
    told = [next(coming) for _ in range(3)]
    assert [one.kind for one in told if isinstance(one, Told)] == ["opened", "state", "closed"]
    assert asked(daemon).count("log.list") == 2


@pytest.mark.parametrize("code", [-32601, 1004, 1012])
def test_where_nothing_can_be_watched_lists_do(daemon: FakeDaemon, code: int) -> None:
    """The daemon is older, or at its limit."""
    daemon.answers["log.watch"] = refuse(code)
    coming = begin(daemon, 0.01)
    assert all(isinstance(next(coming), Listed) for _ in range(3))


def test_it_goes_on_with_the_next_daemon(daemon: FakeDaemon) -> None:
    """It says that there is none meanwhile."""
    coming = begin(daemon)
    next(coming)
    daemon.crash()
    assert isinstance(next(coming), Lost)
    assert isinstance(next(coming), Listed)
    next(coming)
    daemon.notify(2, "log.end", reason="shutting down")
    lost = next(coming)
    assert isinstance(lost, Lost)
    assert "shutting down" in lost.reason
    assert isinstance(next(coming), Listed)


def test_errors_that_pass_are_waited_for(daemon: FakeDaemon) -> None:
    """Others end it."""
    coming = begin(daemon)
    next(coming)
    daemon.answers["log.list"] = refuse(1005)
    assert isinstance(next(coming), Lost)
    daemon.answers["log.list"] = refuse(-32603)
    with pytest.raises(RemoteError):
        next(coming)


def test_a_refusal_to_watch_for_another_reason_is_one(daemon: FakeDaemon) -> None:
    """It is not hidden."""
    daemon.answers["log.watch"] = refuse(1011)
    with pytest.raises(RemoteError):
        next(begin(daemon))
