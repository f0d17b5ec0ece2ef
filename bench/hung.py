"""Loads in which a file system does not answer for a while, and others ask and print beside it.

Two guests print to logs on it, a little and as much as they can, somebody asks for its positions
again and again, and 64 others have nothing to do with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from threading import Event, Thread

from bench.figures import Figures, Stand
from bench.load import LINE_BYTES, tail
from bench.others import LIGHT, OTHERS, Others, compared
from bench.rpc import CallFailed
from bench.writing import Wrong, files, opened

#: The configuration says after how long a file system is said not to answer.
FILE_TIMEOUT_SECONDS = 1
SETTINGS = (f"file_timeout = {FILE_TIMEOUT_SECONDS}",)

#: It hangs for this multiple of a sample's time, 10 s, and at least until everything was seen.
_TIMES = 20 / 3
_LEAST_SECONDS = 4.0
#: From when on a guest may expect that bytes are thrown away: some longer than the daemon waits.
_NOTICED_SECONDS = FILE_TIMEOUT_SECONDS + 0.25
#: How long before the file system answers again guests and clients end.
_MARGIN_SECONDS = 0.3
#: How long to wait then until everything is in its file.
_RECOVERY_SECONDS = 30.0
#: Before the one that counts, if the daemon is to know it by then.
_FIRST_SECONDS = 0.5
#: Until the daemon has met it, with what the first guest prints.
_MET_SECONDS = 0.1

#: What the first guest prints a second: less than a pipe holds in all that time. And the other:
#: more than any pipe before anything is thrown away.
_LINES, _WRITES = 40.0, 40.0
_WRITE_BYTES = 64 * 1024
#: A call for a position on it every so often.
_CALLS = 1000
_CALLED_BEFORE = 10
_CALL_EVERY_SECONDS = 0.001

WITH_ROOM, FULL = "its longest write ms", "when full ms"
RECOVERY = "recovery s"
THREADS, DESCRIPTORS = "threads more", "descriptors more"


@dataclass
class _Seen:
    """What was seen of the file system itself."""

    recovery: float = 0.0
    threads: int = 0
    descriptors: int = 0


def beside(stand: Stand, again: bool = False) -> Figures:
    """Ask for positions and print beside a file system that does not answer.

    :param again: it did so before for a moment.
    """
    assert stand.place is not None
    place = stand.place
    on_it = replace(stand, target=stand.target.with_logs(place.point))
    hangs = max(_LEAST_SECONDS, stand.seconds * _TIMES)
    with opened(on_it, 2) as (hung_paths, hung_pipes), opened(stand, OTHERS) as (paths, pipes):
        first = _hang_once(on_it, hung_paths[0], hung_pipes[0]) if again else 0
        others = Others(stand, paths, pipes, LIGHT)
        before = others.watch()
        seen = _Seen()
        with ThreadPoolExecutor() as pool:
            with _hanging(on_it, hung_paths, hangs, seen):
                lasts = hangs - _MARGIN_SECONDS
                write = stand.generator.write
                with_room = pool.submit(write, hung_pipes[:1], LINE_BYTES, lasts, _LINES)
                time.sleep(_MET_SECONDS)
                full = pool.submit(
                    write,
                    hung_pipes[1:],
                    _WRITE_BYTES,
                    lasts,
                    _WRITES,
                    since=_NOTICED_SECONDS,
                )
                asked = pool.submit(_ask, on_it, hung_paths[0], seen)
                during = others.watch(lasts)
            asked.result()
            (records,) = with_room.result().records
        others.check()
        _check(on_it, hung_paths[0], [first, records])
        return {
            **compared(before, during),
            WITH_ROOM: with_room.result().longest * 1e3,
            FULL: full.result().longest * 1e3,
            RECOVERY: seen.recovery,
            THREADS: seen.threads,
            DESCRIPTORS: seen.descriptors,
        }


def _hang_once(stand: Stand, path: str, pipe: int) -> int:
    """Let a write wait, so that the daemon knows of it; return how many lines were written."""
    assert stand.place is not None
    stand.place.hang()
    try:
        stand.generator.write([pipe], LINE_BYTES, 60.0, most_bytes=LINE_BYTES)
        time.sleep(_FIRST_SECONDS)
    finally:
        stand.place.recover()
    with stand.target.client() as client:
        client.position(path)
    return 1


@contextmanager
def _hanging(stand: Stand, paths: list[str], seconds: float, seen: _Seen) -> Iterator[None]:
    """Let it hang for a time that begins with the context, and see how it recovers.

    The end of the context comes after that. It is not that which ends it, as all that is in the
    context may wait for it.
    """
    assert stand.place is not None
    place, given_up = stand.place, Event()

    def recover() -> None:
        given_up.wait(seconds)
        place.recover()
        began = time.monotonic()
        for path in paths:
            _until_written(stand, path)
        seen.recovery = time.monotonic() - began

    recovering = Thread(target=recover)
    place.hang()
    recovering.start()
    try:
        yield
    except BaseException:
        given_up.set()
        raise
    finally:
        recovering.join()


def _until_written(stand: Stand, path: str) -> None:
    """Ask until all that a guest has written is in the file; not for ever."""
    until = time.monotonic() + _RECOVERY_SECONDS
    with stand.target.client() as client:
        while time.monotonic() < until:
            with suppress(CallFailed):
                client.position(path)
                return
            time.sleep(_CALL_EVERY_SECONDS)


def _ask(stand: Stand, path: str, seen: _Seen) -> None:
    """Ask for a position on it, and count what the daemon has more afterwards."""
    target = stand.target
    with target.client() as client:

        def ask(times: int) -> None:
            for _ in range(times):
                with suppress(CallFailed):
                    client.position(path)
                time.sleep(_CALL_EVERY_SECONDS)

        ask(_CALLED_BEFORE)
        threads, descriptors = target.threads(), target.descriptors()
        ask(_CALLS)
        seen.threads = target.threads() - threads
        seen.descriptors = target.descriptors() - descriptors


def _check(stand: Stand, path: str, written: list[int]) -> None:
    """See whether all is there of a guest whose pipe had room.

    :param written: how many lines, each time.
    :raises Wrong: it is not.
    """
    with stand.target.client() as client:
        client.position(path)
    kept = b"".join(file.read_bytes() for file in files(path))
    if kept != b"".join(tail(count, LINE_BYTES, count * LINE_BYTES) for count in written):
        raise Wrong(f"{path}: the {len(kept)} bytes kept are not the {sum(written)} lines written")
