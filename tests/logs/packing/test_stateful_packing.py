"""Logs used at random while their backups are packed, against the same model of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.effort import examples
from tests.logs.fakes import World
from tests.logs.packing import by_hand
from tests.logs.test_stateful import Logs, logs
from twisted_virtlog.logs.packing import steps
from twisted_virtlog.logs.packing.steps import Job


@pytest.fixture(autouse=True, scope="module")
def _small_files_are_packed() -> Iterator[None]:
    """Pack files that take up no more than a block."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(steps, "_SMALL_BYTES", -1)
        yield


class PackedLogs(Logs):
    """Whatever becomes of a packing, readers, rotation and the ledger see no difference."""

    def make_world(self, directory: Path, max_size: int, max_backups: int) -> World:
        """Make a daemon that packs all backups."""
        self.jobs: list[tuple[str, Job, bool]] = []
        return World(directory, max_size, max_backups, pack_from=0)

    def teardown(self) -> None:
        """Give up what is begun."""
        for _, job, _ in getattr(self, "jobs", []):
            job.close()
        super().teardown()

    @rule(which=logs)
    def begin(self, which: int) -> None:
        """A backup is being packed, and other things happen meanwhile."""
        path = self.logs[which].path
        if len(self.jobs) < 4:
            job = by_hand.begin(self.world, path)
            if job is not None:
                self.jobs.append((path, job, False))

    @rule(give_up=st.booleans())
    def go_on(self, give_up: bool) -> None:
        """The next step of a packing, or none."""
        if not self.jobs:
            return
        path, job, is_named = self.jobs.pop(0)
        if give_up:
            job.close()
        elif not is_named and by_hand.name(self.world, job, path):
            self.jobs.append((path, job, True))
        else:
            if is_named:
                by_hand.finish(self.world, job, path)
            job.close()

    @rule(which=logs)
    def pack_all(self, which: int) -> None:
        """All backups of a log are packed."""
        by_hand.pack_all(self.world, self.logs[which].path)


TestPackedLogs = pytest.mark.lengthy(PackedLogs.TestCase)
TestPackedLogs.settings = settings(max_examples=examples(40), stateful_step_count=50)
