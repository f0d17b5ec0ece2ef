"""Logs that are followed while they change their threads, and these hang, at random."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred

from tests.effort import examples
from tests.logs.following.room import LaneClient, Turns
from tests.logs.lanes.test_stateful_lanes import LanesMachine, Log
from twisted_virtlog.logs.following.following import Following
from twisted_virtlog.logs.observing import ObserverOf
from twisted_virtlog.values import FollowerState, Position


class FollowedLanesMachine(LanesMachine):
    """The logs, and some who follow them: each gets what is in the files from his place on."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.clients: list[tuple[Log, Position, LaneClient]] = []
        self.states: list[FollowerState] = []

    def observer_of(self) -> ObserverOf:
        self.following = Following(self.clock, self.turns.later, self.turns.rest)
        return self.following.observer_of

    def go_on(self) -> None:
        self.following.begin(self.logs)
        super().go_on()
        self.turns.run()
        for _, _, client in self.clients:
            client.go_on()

    @precondition(lambda self: not self.gates and len(self.clients) < 4)
    @rule(which=st.integers(0, 1))
    def follow(self, which: int) -> None:
        """Somebody follows a log from now on."""
        log = self.all[which]
        self.following.begin(self.logs)
        client = LaneClient()
        found: list[object] = []
        answer = self.following.follow(log.path, None, False, client.ready)
        if isinstance(answer, Deferred):
            answer.addBoth(found.append)
            self.until(lambda: found)
            (answer,) = found  # type: ignore[assignment]
        client.follower = answer  # type: ignore[assignment]
        assert client.follower is not None
        self.clients.append((log, client.follower.position, client))

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 3))
    def leave(self, number: int) -> None:
        """Somebody leaves, perhaps while a thread hangs."""
        if number < len(self.clients):
            _, _, client = self.clients.pop(number)
            assert client.follower is not None
            client.follower.stop()

    def suspend(self) -> None:
        former, self.clients = self.clients, []
        for log, start, client in former:
            assert client.follower is not None
            self.states.append(client.follower.suspended())
            # (what the former image still has to tell goes to nobody)
            next_client = LaneClient()
            next_client.got = client.got[:]
            self.clients.append((log, start, next_client))
        self.following.end_all()

    def resume(self) -> None:
        self.following.begin(self.logs)
        for (_, _, client), state in zip(self.clients, self.states, strict=True):
            client.follower = self.following.resume(state, client.ready)
        self.states.clear()

    def finish(self) -> None:
        for log in self.all:
            log.close_end()
        if self.gates:
            self.let_go()
        self.heal()
        assert self.settle()
        for log, start, client in self.clients:
            files = log.files()
            text = b"".join(file.read_bytes() for file in files)
            if start.inode:
                numbers = [file.stat().st_ino for file in files]
                before = files[: numbers.index(start.inode)]
                text = text[sum(file.stat().st_size for file in before) + start.offset :]
            self.until(lambda client=client, text=text: len(client.text) >= len(text))  # type: ignore[misc]
            assert client.text == text
            assert client.gaps == []
            assert client.end is None, client.end
            assert client.follower is not None
            client.follower.stop()
        super().finish()
        assert self.following.kept_files == 0


SETTINGS = settings(
    max_examples=10,
    stateful_step_count=30,
    deadline=None,
    # (an example is not the same twice, as the threads are real)
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.lengthy
@pytest.mark.parametrize("number", range(examples(1)))
def test_followed_lanes(number: int) -> None:
    """Few at once, so that none is made from what another one was."""
    run_state_machine_as_test(FollowedLanesMachine, settings=SETTINGS)
