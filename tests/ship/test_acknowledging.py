"""What is stored is acknowledged to the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.fakes.consumer_daemon import ConsumerDaemon, consumers_served
from twisted_virtlog.client import RemoteError, Unreachable
from twisted_virtlog.ship import acknowledging
from twisted_virtlog.ship.acknowledging import Acknowledger
from twisted_virtlog.values import Position


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(acknowledging, "_SECONDS", 0.001)
    monkeypatch.setattr(acknowledging, "_LONGEST_PAUSE_SECONDS", 0.01)


def at(offset: int) -> Position:
    """Return a position."""
    return Position(1, offset, "b")


def row(consumer: str, path: str, offset: int | None) -> dict[str, object]:
    """Return what is listed of a consumer."""
    position = None if offset is None else {"inode": 1, "offset": offset, "birth": "b"}
    said: dict[str, object] = {"consumer": consumer, "path": path, "position": position}
    return {**said, "lag_bytes": 0, "lag_s": None, "held_bytes": 0, "unread_bytes": 0}


def run(
    directory: Path, work: Callable[[ConsumerDaemon, Acknowledger], Awaitable[None]]
) -> ConsumerDaemon:
    """Do something while what is noted is told; return the daemon when all is told."""

    async def do() -> ConsumerDaemon:
        async with consumers_served(directory) as daemon:
            acknowledger = Acknowledger(daemon.socket, "nats")
            task = asyncio.create_task(acknowledger.run())
            await work(daemon, acknowledger)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await acknowledger.close()
        return daemon

    return asyncio.run(asyncio.wait_for(do(), 60))


async def until(condition: Callable[[], object]) -> None:
    """Look until something holds."""
    while not condition():
        await asyncio.sleep(0.001)


def test_what_was_acknowledged_before(tmp_path: Path) -> None:
    """By this consumer, of logs of which it has something."""

    async def work(daemon: ConsumerDaemon, acknowledger: Acknowledger) -> None:
        daemon.rows = [row("nats", "/a", 5), row("other", "/b", 6), row("nats", "/c", None)]
        assert await acknowledger.positions() == {"/a": at(5)}
        daemon.error = (1011, "nats: only the user virtlog-ship and root acknowledge for it")
        with pytest.raises(RemoteError, match="only the user virtlog-ship"):
            await acknowledger.positions()

    run(tmp_path, work)
    with pytest.raises(Unreachable):
        asyncio.run(Acknowledger(str(tmp_path / "nobody"), "nats").positions())


def test_the_last_of_each_log_is_told(tmp_path: Path) -> None:
    """Many at once, and each that is newer again."""

    async def work(daemon: ConsumerDaemon, acknowledger: Acknowledger) -> None:
        daemon.is_open.clear()
        for number in range(1500):
            acknowledger.note(f"/{number}", at(1))
        await until(lambda: daemon.writers)
        # (while the first of them are under way)
        acknowledger.note("/0", at(2))
        daemon.is_open.set()
        await until(lambda: len(daemon.acknowledged) == 1500 and daemon.acknowledged["/0"] == 2)
        assert max(len(ack) for ack in daemon.acks) == 1000

    run(tmp_path, work)


def test_the_last_words(tmp_path: Path) -> None:
    """What is noted when it ends is told, too."""

    async def work(_daemon: ConsumerDaemon, acknowledger: Acknowledger) -> None:
        acknowledger.note("/a", at(1))

    assert run(tmp_path, work).acknowledged == {"/a": 1}


def test_it_is_told_again_after_all_that_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Over errors, which are told once, and ended connections."""

    async def work(daemon: ConsumerDaemon, acknowledger: Acknowledger) -> None:
        daemon.error = (-32602, "the configuration names no consumer 'nats'")
        acknowledger.note("/a", at(1))
        await until(lambda: "names no consumer" in caplog.text)
        await asyncio.sleep(0.01)
        daemon.hang_up()
        daemon.error = None
        await until(lambda: daemon.acknowledged == {"/a": 1})
        daemon.hang_up()
        acknowledger.note("/a", at(2))
        await until(lambda: daemon.acknowledged == {"/a": 2})

    run(tmp_path, work)
    assert caplog.text.count("the consumer nats: the configuration names no consumer") == 1


def test_one_log_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its acknowledgement fails, others come first the next time."""
    monkeypatch.setattr(acknowledging, "_MOST", 1)

    async def work(daemon: ConsumerDaemon, acknowledger: Acknowledger) -> None:
        answer = daemon._answer

        def answered(request: dict[str, object]) -> dict[str, object]:
            bad = '"/bad"' in str(request).replace("'", '"')
            daemon.error = (1003, "the mount does not answer") if bad else None
            return answer(request)

        monkeypatch.setattr(daemon, "_answer", answered)
        for path in ("/bad", "/a", "/b"):
            acknowledger.note(path, at(1))
        await until(lambda: daemon.acknowledged == {"/a": 1, "/b": 1})

    run(tmp_path, work)
