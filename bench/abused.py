"""Loads in which one client or guest takes what it can, and others ask and print beside it.

The same is measured twice in a sample: alone, while a program that uses as much of the load's
processor as an abuser runs in its place, and beside the abuse. The others and whoever asks run
before all else on that processor, where that is allowed, so that what they wait for is the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.abuser import burning, locking
from bench.abuses import Abuse, Scene, locked_reads
from bench.figures import LONGEST, LONGEST_WRITE, MIB, P50, P99, Figures, Stand
from bench.load import LINE_BYTES, tail
from bench.noise import urgent
from bench.rpc import Client, position_request
from bench.writing import Wrong, files, opened

#: The logs of others, and what is written to all of them together: a line a tenth of a second.
OTHERS = 64
_LINES_A_SECOND = 640.0

#: From one question to the next.
_EVERY_SECONDS = 0.002
#: Until the abuse has found its pace.
_SETTLING_SECONDS = 0.2
#: A write of 64 KiB that begins as many files takes a while.
_LANDING_SECONDS = 300.0
#: Of a log, with the backups.
_MOST_FILES = 4
#: What the abuser's own log has for it to read.
_LOGGED_BYTES = 7 * MIB

USED_P99, USED_LONGEST = "p99 CPU us", "longest CPU us"
THEIR_LINES = "lines beside it/alone"
DAEMON_BUSY = "daemon busy"
ABUSE = "abuse MiB/s"


def alone(name: str) -> str:
    """Give the name of a figure that was measured without the abuse."""
    return f"{name}, alone"


@dataclass(frozen=True)
class Light:
    """What the others print.

    :ivar size: bytes of a line.
    :ivar rate: lines a second of all together.
    """

    size: int = LINE_BYTES
    rate: float = _LINES_A_SECOND


LIGHT = Light()
#: What is little where each byte begins a new file.
BYTE_BY_BYTE = Light(1, 320.0)


@dataclass(frozen=True)
class _Phase:
    p50: float
    p99: float
    longest: float
    used_p99: float
    used_longest: float
    longest_write: float
    lines: float
    busy: float


def beside(stand: Stand, abuse: Abuse, light: Light = LIGHT, logged: bool = True) -> Figures:
    """Ask for positions and print beside an abuse.

    :param logged: the abuser's log has something to be read.
    """
    with opened(stand, OTHERS + 1) as (paths, pipes):
        scene = Scene(stand, paths[-1], pipes[-1])
        if logged:
            stand.generator.write([scene.pipe], 4096, 60.0, most_bytes=_LOGGED_BYTES)
            _until_landed(scene)
        others = _Others(stand, paths[:-1], pipes[:-1], light)
        with burning(stand.generator):
            before = others.watch()
        began = time.monotonic()
        with abuse(scene):
            time.sleep(_SETTLING_SECONDS)
            during = others.watch()
        lasted = time.monotonic() - began
        _until_landed(scene)
        others.check()
        return {**_figures(before, during), ABUSE: sum(scene.moved) / MIB / lasted}


def beside_lock(stand: Stand, filled: bool) -> Figures:
    """Ask for positions and print while a guest has its own pipe locked, and it is asked for too.

    :param filled: there are bytes in the pipe.
    """
    with opened(stand, OTHERS + 1) as (paths, pipes):
        scene = Scene(stand, paths[-1], pipes[-1])
        others = _Others(stand, paths[:-1], pipes[:-1], LIGHT)
        with burning(stand.generator):
            before = others.watch()
        with (
            locking(stand.generator, scene.pipe, stand.seconds, filled),
            locked_reads(scene),
        ):
            during = others.watch()
        _until_landed(scene)
        others.check()
        return _figures(before, during)


def _until_landed(scene: Scene) -> None:
    """Wait until the abuser's pipe is empty, so that it disturbs nobody any more."""
    with Client(scene.libvirt, _LANDING_SECONDS) as client:
        client.position(scene.path)


class _Others:
    """Those beside the abuser."""

    def __init__(
        self, stand: Stand, paths: Sequence[str], pipes: Sequence[int], light: Light
    ) -> None:
        self._stand = stand
        self._paths = paths
        self._pipes = pipes
        self._light = light
        self._written = [b""] * len(paths)

    def watch(self) -> _Phase:
        """Print, and ask for their positions in turn."""
        stand, size = self._stand, self._light.size
        used = stand.target.cpu()
        with urgent():
            with stand.generator.printing(self._pipes, size, self._light.rate) as seen:
                called = stand.generator.call(
                    stand.target.socket,
                    [position_request(path) for path in self._paths],
                    seconds=stand.seconds,
                    every=_EVERY_SECONDS,
                    daemon=stand.target.pid,
                )
            # All that was printed has landed. (One after another: many at once are an abuse.)
            with stand.target.client() as client:
                for path in self._paths:
                    client.position(path)
            (written,) = seen
            lasted = time.monotonic() - written.began
        for number, count in enumerate(written.records):
            self._written[number] += tail(count, size, count * size)
        return _Phase(
            p50=called.p50,
            p99=called.p99,
            longest=called.longest,
            used_p99=called.used_p99,
            used_longest=called.used_longest,
            longest_write=written.longest,
            lines=sum(written.records) / lasted,
            busy=(stand.target.cpu() - used) / lasted,
        )

    def check(self) -> None:
        """Compare their files with what was written.

        :raises Wrong: they differ.
        """
        for path, expected in zip(self._paths, self._written, strict=True):
            found = files(path)
            kept = b"".join(file.read_bytes() for file in found)
            complete = kept == expected or len(found) == _MOST_FILES
            if not complete or not expected.endswith(kept):
                raise Wrong(f"{path}: the {len(kept)} bytes kept are not what was written")


def _figures(before: _Phase, during: _Phase) -> Figures:
    figures = {
        alone(P50): before.p50 * 1e6,
        P50: during.p50 * 1e6,
        alone(P99): before.p99 * 1e6,
        P99: during.p99 * 1e6,
        alone(LONGEST): before.longest * 1e6,
        LONGEST: during.longest * 1e6,
        LONGEST_WRITE: during.longest_write * 1e3,
        THEIR_LINES: during.lines / before.lines,
        DAEMON_BUSY: during.busy,
    }
    if during.used_longest:
        figures |= {
            USED_P99: during.used_p99 * 1e6,
            USED_LONGEST: during.used_longest * 1e6,
        }
    return figures
