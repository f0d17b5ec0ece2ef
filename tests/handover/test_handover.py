"""A hand-over happens whole or not at all: what speaks against it, and what is put back."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from twisted_virtlog.errors import HandOverFailed
from twisted_virtlog.handover import giving
from twisted_virtlog.handover.giving import HandOver
from twisted_virtlog.handover.state import (
    ClientState,
    ConnectionState,
    DaemonState,
    Details,
    LogDetails,
    OpenLogState,
    ServerState,
    SocketState,
    StateError,
    encode,
)
from twisted_virtlog.handover.successor import (
    TRIAL_SECONDS,
    VARIABLE,
    Image,
    Kind,
    Successor,
    Tried,
)
from twisted_virtlog.handover.taking import from_virtlogd, handed_over, own
from twisted_virtlog.loop.signals import OBEYED
from twisted_virtlog.values import Queued, SubscriptionState, Suspended

T = TypeVar("T")

VIRTLOGD = "#!/bin/sh\necho 'virtlogd (libvirt) 9.0.0'\n"


class FakeService:
    """A daemon that can stand still.

    :ivar hanging: what speaks against an exec.
    :ivar told: what it was told.
    """

    stopping = False
    hanging = ""

    def __init__(self, pipe: int) -> None:
        self.told: list[str] = []
        self.requests = 0
        self.closing: list[str] = []
        self.pauses = True
        self.server = ServerState(max_clients=1)
        self.path = "/a.log"
        self.former: OpenLogState | None = None
        self._pipe = pipe

    def hold(self) -> None:
        self.told.append("hold")

    def release(self) -> None:
        self.told.append("release")

    def waiting(self) -> int:
        return self.requests

    def hung(self) -> list[str]:
        return self.closing

    def pause(self) -> Deferred[None]:
        if self.pauses:
            return succeed(None)
        return Deferred()

    def go_on(self) -> None:
        """Do nothing."""

    def end_subscriptions(self) -> None:
        self.told.append("end subscriptions")

    def suspended(self, conversations: bool = True) -> DaemonState:
        now = datetime.now(timezone.utc)
        return DaemonState(
            os.getpid(),
            {"virtlogd": self.server},
            (*([self.former] if self.former else []), OpenLogState(self._pipe, self.path, "qemu")),
            Details(1, now, 1.0),
        )

    def let_go(self) -> None:
        if self.hanging:
            raise HandOverFailed(self.hanging)

    def prepare_for_virtlogd(self) -> None:
        self.told.append("prepare for virtlogd")

    def stay(self) -> None:
        self.told.append("stay")


class Executed(Exception):
    """The process would be another program now."""


class World:
    """A hand-over, and what it acts on.

    :ivar executed: what was executed: program, arguments, and environment.
    :ivar seen: what held at that moment.
    :ivar asked: called for what signals asked for before they had to wait.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.clock = Clock()
        self.pipe, self._write_end = os.pipe()
        self.service = FakeService(self.pipe)
        self.state_file = directory / "state.json"
        self.hand_over = HandOver(
            self.service,
            self.service,
            self.clock,
            self._in_thread,
            self._call_soon,
            str(self.state_file),
        )
        self.executed: list[tuple[str, tuple[str, ...], dict[str, str]]] = []
        self.seen: dict[str, Any] = {}
        self.error: OSError | None = None
        self.asked: Callable[[], object] = lambda: None
        monkeypatch.setattr(os, "execve", self._execute)

    def image(self, script: str = "#!/bin/sh\nexit 0\n", **more: Any) -> Image:
        """Make a program that can be tried."""
        program = self.directory / "program"
        program.write_text(script)
        program.chmod(0o755)
        name = str(program)
        fields = {"arguments": (name, "-x"), "trial": (name, "--try"), **more}
        return Image(program=name, directory=str(self.directory), **fields)

    def begin(
        self, image: Image, for_client: bool = False, state_version: int | None = None
    ) -> list[Any]:
        """Begin; give what comes of it."""
        outcome: list[Any] = []
        self.hand_over.begin(image, for_client, state_version).addBoth(outcome.append)
        return outcome

    def former(self) -> OpenLogState:
        """Return a pipe of a former guest of the log."""
        details = LogDetails(
            datetime.now(timezone.utc), "/a.log", "/a.log", left=7, log=self.service.path
        )
        return OpenLogState(self.pipe, "//a.log", "qemu", details=details)

    def close(self) -> None:
        """Close what is open."""
        os.close(self.pipe)
        os.close(self._write_end)

    def _in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        return maybeDeferred(call)

    def _call_soon(self, call: Callable[[], None]) -> None:
        self.asked()
        call()

    def _execute(self, program: str, arguments: tuple[str, ...], environment: Any) -> None:
        self.executed.append((program, arguments, environment))
        self.seen = {
            "inheritable": os.get_inheritable(self.pipe),
            "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            "directory": os.getcwd(),
            "files": sorted(path.name for path in self.directory.iterdir()),
        }
        if VARIABLE in environment:
            # (it closes what it has read)
            document = os.dup(int(environment[VARIABLE]))
            self.seen["state"] = handed_over({VARIABLE: str(document)})
        if self.error:
            raise self.error
        # A real one does not come back.
        raise Executed


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> Iterator[World]:
    """A daemon that can hand over."""
    expected_failures.append("Executed")
    world = World(tmp_path, monkeypatch)
    yield world
    world.close()


def reason(outcome: list[Any]) -> str:
    """Give why it came to nothing."""
    (failure,) = outcome
    assert isinstance(failure, Failure)
    failure.trap(HandOverFailed)
    return failure.getErrorMessage()


def test_the_next_image_gets_state_and_descriptors(world: World) -> None:
    """In the directory where the first was started, with all signals waiting."""
    with capturedLogs():
        assert world.begin(world.image()) == [None]
    ((program, arguments, environment),) = world.executed
    assert program == str(world.directory / "program")
    assert arguments == (program, "-x")
    assert environment[VARIABLE].isdigit()
    assert world.seen["inheritable"]
    assert world.seen["blocked"] >= OBEYED
    assert world.seen["directory"] == str(world.directory)
    state = world.seen["state"]
    assert (state.pid, state.logs[0].pipe) == (os.getpid(), world.pipe)
    assert world.service.told[0] == "hold"


def test_if_the_system_refuses_all_is_put_back(world: World) -> None:
    """Descriptors, signals, directory and pid file; then it can be tried again."""
    pid_file = world.directory / "twistd.pid"
    pid_file.write_text("4711")
    descriptors = len(os.listdir("/proc/self/fd"))
    before = (os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    world.error = OSError(7, "Argument list too long")
    for _ in range(2):
        with capturedLogs() as logged:
            assert world.begin(world.image(pid_file=str(pid_file))) == [None]
        assert "Argument list too long" in str(logged[-1]["error"])
        assert "twistd.pid" not in world.seen["files"]
        assert pid_file.read_text() == "4711"
        assert (os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
        assert not os.get_inheritable(world.pipe)
        assert len(os.listdir("/proc/self/fd")) == descriptors
    assert world.service.told == ["hold", "end subscriptions", "release"] * 2


def test_an_image_that_fails_when_it_is_tried_does_not_get_anything(world: World) -> None:
    """What it said last is told."""
    image = world.image("#!/bin/sh\necho first; echo $1: no such module >&2; exit 3\n")
    with capturedLogs():
        told = reason(world.begin(image))
    assert told == f"{image.program} ended with status 3 when it was tried: --try: no such module"
    assert world.executed == []
    assert world.service.told == []


def test_an_image_is_tried_with_the_state(world: World) -> None:
    """It can load it, and it can tell that this is a try, as the process is another."""
    image = world.image(
        f'#!/bin/sh\ngrep -q \'"magic": "{os.getpid()}"\' /proc/self/fd/$TWISTED_VIRTLOG_HANDOVER\n'
    )
    with capturedLogs():
        world.begin(image)
    assert len(world.executed) == 1


def test_a_program_that_is_missing(world: World) -> None:
    """It is named."""
    image = Image("/nowhere/twistd", ("twistd",), ("twistd",), "/")
    with capturedLogs():
        assert reason(world.begin(image)) == "/nowhere/twistd is not a program that can be executed"


def test_a_directory_that_was_removed_does_not_matter(world: World) -> None:
    """The next image starts in the root directory."""
    gone = Image(**{**_fields(world.image()), "directory": "/nowhere"})
    with capturedLogs():
        assert world.begin(gone) == [None]
    assert world.seen["directory"] == "/"


def _fields(image: Image) -> dict[str, Any]:
    return {name: getattr(image, name) for name in image.__slots__}


def test_requests_in_progress_are_waited_for(world: World) -> None:
    """Until they are answered."""
    world.service.requests = 1
    with capturedLogs():
        outcome = world.begin(world.image())
        world.clock.advance(1)
        assert world.executed == []
        world.service.requests = 0
        world.clock.advance(0.01)
    assert outcome == [None]
    assert len(world.executed) == 1


def test_requests_that_take_too_long_prevent_it(world: World) -> None:
    """The service goes on as before."""
    world.service.requests = 1
    with capturedLogs():
        outcome = world.begin(world.image())
        world.clock.pump([0.1] * 60)
    assert reason(outcome) == "clients' requests are still in progress"
    assert world.service.told[-1] == "release"
    assert world.executed == []


def test_who_asks_for_it_is_not_waited_for(world: World) -> None:
    """Its answer goes out before the exec."""
    world.service.requests = 1
    order = []
    with capturedLogs():
        answer = world.hand_over.begin(world.image(), for_client=True)
        assert world.executed
        answer.addCallback(lambda _: order.append("answered"))
    assert order == ["answered"]


def test_only_one_at_a_time(world: World) -> None:
    """A second is refused and changes nothing of the first."""
    world.service.requests = 1
    with capturedLogs():
        first = world.begin(world.image())
        assert reason(world.begin(world.image())) == "a hand-over is under way already"
        world.service.requests = 0
        world.clock.advance(0.01)
    assert first == [None]


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_what_hangs_prevents_it(world: World, when: str) -> None:
    """A child would not start, and the exec not begin, before it answers; nothing has changed."""

    def hang() -> None:
        world.service.hanging = "the own log hangs"

    tried = world.directory / "tried"
    image = world.image(f"#!/bin/sh\ntouch {tried}\n")
    if when == "before":
        hang()
    else:
        world.asked = hang
    with capturedLogs():
        assert reason(world.begin(image)) == "the own log hangs"
    assert tried.exists() == (when != "before")
    assert world.executed == []
    world.service.hanging = ""
    world.asked = lambda: None
    with capturedLogs():
        assert world.begin(image) == [None]
    assert len(world.executed) == 1


@pytest.mark.parametrize("when", ["before", "in the try", "while it waits", "by a signal"])
def test_a_daemon_that_stops_hands_over_to_nobody(world: World, when: str) -> None:
    """Whenever it is told to; otherwise the next image would run on."""

    def stop() -> None:
        world.service.stopping = True

    script = "#!/bin/sh\nexit 0\n"
    world.service.requests = when == "while it waits"
    world.asked = stop if when == "by a signal" else world.asked
    if when == "in the try":
        world.hand_over._in_thread = lambda call: (stop(), succeed(call()))[1]
    elif when == "before":
        stop()
    with capturedLogs():
        outcome = world.begin(world.image(script))
        if when == "while it waits":
            stop()
            world.service.requests = 0
            world.clock.advance(0.01)
    assert reason(outcome) == "the daemon is stopping"
    assert world.executed == []
    assert world.service.told[-1] == "release"


def test_what_signals_asked_for_is_done_before(world: World) -> None:
    """Those that come later wait for the next image: none comes in between and is forgotten."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    seen = []
    world.asked = lambda: seen.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    with capturedLogs():
        world.begin(world.image())
    assert seen == [before | OBEYED]
    assert len(world.executed) == 1


# To older releases.


@pytest.mark.parametrize(("former", "version"), [(False, 1), (True, 2)])
def test_the_state_is_of_no_higher_version_than_it_needs(
    world: World, former: bool, version: int
) -> None:
    """So that an older release can take over as long as nothing speaks against it."""
    world.service.former = world.former() if former else None
    image = world.image(
        f"#!/bin/sh\ngrep -q '\"version\": {version},' /proc/self/fd/$TWISTED_VIRTLOG_HANDOVER\n"
    )
    with capturedLogs():
        assert world.begin(image) == [None]
        assert world.begin(image, state_version=version) == [None]
    assert len(world.executed) == 2


@pytest.mark.parametrize(("version", "ends"), [(None, False), (3, True)])
def test_subscriptions_end_if_the_next_image_does_not_know_of_them(
    world: World, version: int | None, ends: bool
) -> None:
    """Only if it does not."""
    conversation = Suspended(subscriptions=(SubscriptionState(1),))
    client = ClientState(1, 1, SocketState(world.pipe), ConnectionState(conversation))
    world.service.server = ServerState(max_clients=1, clients=(client,))
    with capturedLogs():
        assert world.begin(world.image("#!/bin/sh\n"), state_version=version) == [None]
    assert ("end subscriptions" in world.service.told) == ends


def test_what_a_version_cannot_say_prevents_it(world: World) -> None:
    """Nothing has changed then, and the next image was not even tried."""
    world.service.former = world.former()
    with capturedLogs():
        told = reason(world.begin(world.image("#!/bin/sh\nexit 3\n"), state_version=1))
    assert told.startswith("a state of version 1 cannot say all that there is: /a.log has output")
    assert (world.executed, world.service.told) == ([], [])


@pytest.mark.parametrize("kind", [Kind.OURS, Kind.VIRTLOGD])
def test_what_came_up_since_it_was_tried_prevents_it(world: World, kind: Kind) -> None:
    """The image that was tried would not come up with the state as it is now."""
    image = world.image(VIRTLOGD if kind is Kind.VIRTLOGD else "#!/bin/sh\n", kind=kind)
    world.asked = lambda: setattr(world.service, "former", world.former())
    with capturedLogs():
        outcome = world.begin(image)
    assert "/a.log has output of a guest before the present one" in reason(outcome)
    assert world.executed == []
    assert world.service.told[-1] == "release"
    assert not world.state_file.exists()


def test_virtlogd_has_one_pipe_of_a_log(world: World) -> None:
    """It is handed over to when the former guests' are empty."""
    world.service.former = world.former()
    image = world.image(VIRTLOGD, kind=Kind.VIRTLOGD)
    with capturedLogs():
        assert reason(world.begin(image)).startswith("virtlogd knows one pipe of a log, but /a.log")
        world.service.former = None
        assert world.begin(image) == [None]


def test_virtlogd_gets_no_log_with_bytes_on_the_way_to_its_file(world: World) -> None:
    """It would not know of them."""
    former = world.former()
    assert former.details is not None
    details = msgspec.structs.replace(former.details, left=None, staged=3)
    world.service.former = msgspec.structs.replace(former, details=details)
    image = world.image(VIRTLOGD, kind=Kind.VIRTLOGD)
    with capturedLogs():
        assert "bytes on the way from its guest's pipe" in reason(world.begin(image))
    assert world.executed == []


# To and from virtlogd.


def test_virtlogd_gets_the_state_in_its_file(world: World) -> None:
    """No signal stays blocked, as it would never unblock one."""
    with capturedLogs():
        assert world.begin(world.image(VIRTLOGD, kind=Kind.EITHER)) == [None]
    ((_, _, environment),) = world.executed
    assert VARIABLE not in environment
    assert "state.json" in world.seen["files"]
    assert not world.seen["blocked"] & OBEYED
    assert "prepare for virtlogd" in world.service.told
    # The exec did not happen.
    assert not world.state_file.exists()
    assert world.service.told[-2:] == ["stay", "release"]


def test_a_signal_is_obeyed_before_virtlogd_takes_over(world: World) -> None:
    """It would not get one that waits."""
    obeyed = []
    former = signal.signal(signal.SIGUSR1, lambda number, _: obeyed.append(number))
    world.asked = lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    try:
        with capturedLogs() as logged:
            world.begin(world.image(VIRTLOGD, kind=Kind.EITHER))
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert "a signal came" in str(logged[-1]["error"])
    assert obeyed == [signal.SIGUSR1]
    assert world.executed == []
    assert not world.state_file.exists()


def test_what_is_not_virtlogd_is_not_taken_for_it(world: World) -> None:
    """Who asks for virtlogd gets that or nothing."""
    successor = Successor(world.image, (), str(world.directory), "")
    image = successor.virtlogd(world.image("#!/bin/sh\necho other 1.0\n").program)
    with capturedLogs():
        assert reason(world.begin(image)).startswith(f"{image.program} is not libvirt's virtlogd")


@pytest.mark.parametrize(
    "connection",
    [
        ConnectionState(Suspended(received=b"\0\0")),
        ConnectionState(queued=(Queued(b"x"),)),
    ],
)
def test_virtlogd_gets_no_half_request(world: World, connection: ConnectionState) -> None:
    """There is a moment in which there is none, or there is no hand-over."""
    busy = ClientState(1, 0, SocketState(world.pipe), connection)
    world.service.server = ServerState(max_clients=1, clients=(busy,))
    image = world.image(VIRTLOGD, kind=Kind.VIRTLOGD)
    with capturedLogs():
        outcome = world.begin(image)
        # Only then can the rest come.
        assert world.service.told[-1] == "release"
        world.clock.pump([0.1] * 60)
        assert reason(outcome) == "clients' requests are still in progress"
        outcome = world.begin(image)
        world.service.server = ServerState(max_clients=1)
        world.clock.advance(0.01)
    assert outcome == [None]
    assert len(world.executed) == 1


def _following(world: World, follows: bool, *queued: Queued) -> ServerState:
    """Return a server with a client that has not read all, and follows something or did so."""
    subscriptions = (SubscriptionState(1),) if follows else ()
    connection = ConnectionState(Suspended(subscriptions=subscriptions), queued=queued)
    client = ClientState(1, 0, SocketState(world.pipe), connection)
    return ServerState(max_clients=1, clients=(client,))


def test_who_follows_is_told_of_virtlogd_before_it_takes_over(world: World) -> None:
    """As soon as he has read that, it does."""
    told = Queued(b"the end")
    world.service.server = _following(world, True)
    with capturedLogs():
        outcome = world.begin(world.image(VIRTLOGD, kind=Kind.VIRTLOGD))
        assert world.service.told[-2:] == ["end subscriptions", "release"]
        world.service.server = _following(world, False, told)
        world.clock.pump([0.1] * 3)
        assert world.executed == []
        world.service.server = _following(world, False)
        world.clock.advance(0.1)
    assert outcome == [None]
    assert len(world.executed) == 1


@pytest.mark.parametrize("again", [False, True])
def test_virtlogd_does_not_wait_for_who_follows_and_does_not_read(
    world: World, again: bool
) -> None:
    """Nor for one who follows once more; of others it waits for the same as ever."""
    world.service.server = _following(world, True, Queued(b"much"))
    with capturedLogs():
        outcome = world.begin(world.image(VIRTLOGD, kind=Kind.VIRTLOGD))
        world.service.server = _following(world, again, Queued(b"much"))
        world.clock.pump([0.1] * 4)
        assert world.executed == []
        world.clock.pump([0.1] * 2)
    assert outcome == [None]
    assert len(world.executed) == 1


@pytest.mark.parametrize("missing", ["server", "name"])
def test_what_virtlogd_cannot_have_prevents_it(world: World, missing: str) -> None:
    """A daemon that libvirt cannot reach, and a log whose name is not UTF-8."""
    if missing == "name":
        world.service.path = "/tmp/\udcff.log"
    else:
        state = world.service.suspended()
        world.service.suspended = lambda **_: DaemonState(  # type: ignore[method-assign]
            state.pid, {}, state.logs, state.details
        )
    with capturedLogs():
        told = reason(world.begin(world.image(VIRTLOGD, kind=Kind.VIRTLOGD)))
    assert ("not UTF-8" if missing == "name" else "there is none") in told


def test_the_state_of_a_virtlogd_is_taken_once(world: World) -> None:
    """If it is this process's; that of another is removed."""
    state = world.service.suspended().for_virtlogd()
    for pid, taken in ((state.pid, True), (state.pid + 1, False)):
        world.state_file.write_bytes(encode(DaemonState(pid, state.servers, state.logs)))
        with capturedLogs():
            found = from_virtlogd(str(world.state_file), state.pid)
        assert (found is not None) == taken
        assert not world.state_file.exists()
    assert from_virtlogd(str(world.state_file), state.pid) is None


def test_a_state_that_cannot_be_used_is_told_and_removed(world: World) -> None:
    """As virtlogd does it."""
    world.state_file.write_text("{}")
    with pytest.raises(StateError):
        from_virtlogd(str(world.state_file), 1)
    assert not world.state_file.exists()


def test_the_state_file_is_the_owner_s_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what guests there are."""
    modes = []
    execute = os.execve

    def look(*arguments: Any) -> None:
        modes.append(stat.S_IMODE(world.state_file.stat().st_mode))
        execute(*arguments)

    monkeypatch.setattr(os, "execve", look)
    with capturedLogs():
        world.begin(world.image(VIRTLOGD, kind=Kind.EITHER))
    assert modes == [0o600]


@pytest.mark.parametrize("text", ["", "x", "-1", "123456"])
def test_a_variable_that_is_nonsense(text: str) -> None:
    """Somebody else has set it."""
    with pytest.raises(StateError, match=VARIABLE):
        handed_over({VARIABLE: text})


def test_descriptors_that_were_taken_over_are_not_passed_on(world: World) -> None:
    """To no program but the next image; one that is closed is no fault."""
    os.set_inheritable(world.pipe, True)
    state = world.service.suspended()
    own(state)
    assert not os.get_inheritable(world.pipe)
    own(DaemonState(1, {}, (OpenLogState(999_999, "/a", "qemu"),)))


def test_a_trial_that_never_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up; and as an exec would wait for its thread, no other begins before it ends."""
    tries, goes_on = threading.Event(), threading.Event()

    def hang(*_: object) -> Tried:
        tries.set()
        goes_on.wait()
        raise HandOverFailed("too late")

    def in_thread(call: Callable[[], T]) -> Deferred[T]:
        if call == world.service.let_go:
            return maybeDeferred(call)
        threads.append(threading.Thread(target=lambda: maybeDeferred(call).addErrback(str)))
        threads[0].start()
        tries.wait()
        return Deferred()

    threads: list[threading.Thread] = []
    image = world.image()
    with capturedLogs():
        with monkeypatch.context() as patch:
            patch.setattr(giving, "try_image", hang)
            patch.setattr(world.hand_over, "_in_thread", in_thread)
            outcome = world.begin(image)
            assert outcome == []
            world.clock.advance(TRIAL_SECONDS + 1)
        assert "it does not even start" in reason(outcome)
        assert "a former trial waits" in reason(world.begin(image))
        assert world.executed == []
        goes_on.set()
        threads[0].join()
        assert world.begin(image) == [None]
    assert len(world.executed) == 1
