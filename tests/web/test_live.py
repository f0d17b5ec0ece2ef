"""How what comes to a log gets to browsers: together, and for each at its own speed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.web.conftest import Stream, Web
from tests.web.test_program import followed
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.web.places import place_text

pytestmark = pytest.mark.lengthy


def wait(client: BlockingClient, condition: Callable[[], bool]) -> None:
    """Wait until the daemon says that something is so; each question is a call."""
    while not condition():
        client.info()


def open_logs(client: BlockingClient, directory: Path, count: int, stack: ExitStack) -> list[str]:
    """Open logs whose guests have written nothing; return their paths."""
    paths = [str(directory / f"{number}.log") for number in range(count)]
    for path in paths:
        stack.callback(os.close, client.open(path, "test").write_end)
    return paths


def test_many_follow_over_one_connection(web: Web, client: BlockingClient, tmp_path: Path) -> None:
    """Also those who follow the same log, and each is told what comes to his."""
    count = 8
    with ExitStack() as stack:
        paths = open_logs(client, tmp_path, count, stack)
        # (the page's program has a connection for calls)
        assert web.ask("boots", path=paths[0]).status == 200
        before = client.info().counts["clients"]
        streams = [stack.enter_context(web.stream("follow", path=path)) for path in paths * 2]
        for stream in streams:
            assert stream.next().kind == "begin"
        for path in paths:
            client.append(path, f"{path}\n")
        for stream, path in zip(streams, paths * 2, strict=True):
            assert followed(stream, len(path) + 1) == f"{path}\n".encode()
        wait(client, lambda: client.info().counts["clients"] <= before + 1)
        followers = {log.path: log.followers for log in client.list()}
        assert [followers[path] for path in paths] == [2] * count
    wait(client, lambda: not any(log.followers for log in client.list()))


def test_what_a_browser_leaves_unread_holds_up_nobody_and_comes_later(
    web: Web, client: BlockingClient, tmp_path: Path
) -> None:
    """It is not even followed meanwhile; then all that is kept comes, and nothing twice."""
    with ExitStack() as stack:
        path, other = open_logs(client, tmp_path, 2, stack)
        begun = client.position(path)
        reading = stack.enter_context(web.stream("follow", path=other))
        assert reading.next().kind == "begin"
        stuck = stack.enter_context(contextlib.closing(web.connection()))
        stuck.request("GET", f"/api/follow?path={path}", headers=web.own_headers)
        stream = Stream(stuck.getresponse())
        assert stream.next().kind == "begin"
        for _ in range(60):
            # (more than waits in sockets, and no more than is kept)
            client.append(path, "".join(map(chr, range(128))) * 32)

        def is_left() -> bool:
            client.append(other, "a line\n")
            assert followed(reading, 7) == b"a line\n"
            return not next(log.followers for log in client.list() if log.path == path)

        wait(client, is_left)
        kept = client.read(path, begun, 4 << 20)
        assert not kept.gap
        assert place_text(kept.start) == place_text(begun)
        assert followed(stream, len(kept.data)) == kept.data
        client.append(path, "more")
        assert followed(stream, 4) == b"more"
