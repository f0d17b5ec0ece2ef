"""Packs backups step by step, in the test's own process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from tests.logs.fakes import World
from twisted_virtlog.logs.packing import steps
from twisted_virtlog.logs.packing.steps import FilesOfLog, Found, Job
from twisted_virtlog.packed.making import pack

T = TypeVar("T")


def with_files(world: World, path: str, do: Callable[[FilesOfLog], T]) -> T:
    """Do something with the files of a log, which nobody else uses now."""
    answer = world.handler.with_files(path, do)
    assert not isinstance(answer, Deferred)
    return answer


def begin(world: World, path: str | None = None) -> Job | None:
    """Begin to pack a backup, and pack it."""
    real_path = os.path.realpath(path or world.path)
    found: Found = with_files(
        world, real_path, lambda files: steps.begin(files, 0, 2**63, frozenset())
    )
    if found.job is not None:
        for _ in pack(found.job.source, found.job.target, found.job.origin):
            pass
    return found.job


def name(world: World, job: Job, path: str | None = None) -> bool:
    """Do the second step."""
    return with_files(world, path or world.path, lambda files: steps.name_packed(files, job))


def finish(world: World, job: Job, path: str | None = None) -> bool:
    """Do the third step."""
    return with_files(world, path or world.path, lambda files: steps.finish(files, job))


def pack_one(world: World, path: str | None = None, last: int = 3) -> bool:
    """Pack one backup; return whether there was any.

    :param last: the last step that is done; whoever does them is killed after it.
    """
    job = begin(world, path)
    if job is None:
        return False
    try:
        if last > 1:
            assert name(world, job, path)
        if last > 2:
            assert finish(world, job, path)
    finally:
        job.close()
    return True


def pack_all(world: World, path: str | None = None) -> int:
    """Pack all backups; return how many there were."""
    count = 0
    while pack_one(world, path):
        count += 1
    return count
