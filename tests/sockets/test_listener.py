"""Sockets are only for their owner, from the first moment on, and no client is turned away."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from zope.interface.verify import verifyObject

from tests.fakes.conversation import Buffered
from tests.fakes.reactor import FakeReactor
from tests.sockets.fakes import PATIENCE, descriptors_open, fill, receive_to_end
from twisted import version
from twisted_virtlog.config.endpoint_strings import quoted
from twisted_virtlog.errors import ListenError
from twisted_virtlog.handover.state import SocketState
from twisted_virtlog.loop.client_sockets import EventSet
from twisted_virtlog.sockets.binding import bind
from twisted_virtlog.sockets.endpoints import adopt, listen
from twisted_virtlog.sockets.listener import Listener
from twisted_virtlog.sockets.server import Server

NOBODY = 65534

#: A child makes system calls only, whatever threads other tests have left.
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Echo(Buffered):
    """Sends back what comes; "?" when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.later: Deferred[None] = Deferred()

    def handle_next(self) -> bool | Deferred[None]:
        data, self.buffer = self.buffer, b""
        if not data:
            return False
        if data == b"?":
            return self.later.addCallback(lambda _: self.connection.send(data))
        self.connection.send(data)
        return True


class Host:
    """Listens on a fake reactor.

    :ivar conversations: those that were made, in order.
    """

    def __init__(self, stack: ExitStack, path: Path) -> None:
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.path = path
        self.conversations: list[Echo] = []
        self.listener: Listener
        self._stack = stack

    def converse(self) -> Echo:
        """Make a conversation."""
        self.conversations.append(Echo())
        return self.conversations[-1]

    def server(self, max_clients: int = 100, **fields: Any) -> Server:
        """Make a server for this user."""
        fields = {"uids": {os.geteuid()}, "converse": self.converse, **fields}
        return Server("a server", max_clients=max_clients, **fields)

    def listen(self, endpoint: str | None = None, **fields: Any) -> Listener:
        """Listen, by default at the path."""
        endpoint = f"unix:{self.path}" if endpoint is None else endpoint
        self.listener = listen(self.reactor, self.clock, endpoint, self.server(**fields))
        self._stack.callback(self.stop, self.listener)
        return self.listener

    def stop(self, listener: Listener) -> None:
        """Stop listening and close what is connected."""
        listener.stopListening()
        for client in list(listener.server.clients.values()):
            client.connection.abort()

    def connect(self, data: bytes = b"") -> socket.socket:
        """Connect and send; does not wait until it is accepted."""
        client = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        client.settimeout(PATIENCE)
        client.connect(str(self.path))
        client.sendall(data)
        return client


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """What listens at a path, not yet listening."""
    with ExitStack() as stack:
        yield Host(stack, tmp_path / "sock")


def has_answer(client: socket.socket) -> bool:
    """Return whether something came for a client."""
    return bool(select.select([client], [], [], 0)[0])


def mode_of(path: Path) -> int:
    """Return a file's permissions."""
    return stat.S_IMODE(path.lstat().st_mode)


def make_stale(path: Path) -> None:
    """Leave a socket file whose process is dead."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


# The file.


def test_serves_clients(host: Host) -> None:
    """Who connects is answered, in turns of the reactor, and Twisted sees a port."""
    listener = host.listen()
    assert verifyObject(IListeningPort, listener)
    assert verifyObject(IReadDescriptor, listener)
    assert listener.getHost() == UNIXAddress(str(host.path))
    assert listener.logPrefix() == "a server"
    clients = [host.connect(b"hello %d" % number) for number in range(20)]
    host.reactor.run()
    assert [client.recv(100) for client in clients] == [b"hello %d" % n for n in range(20)]
    assert len(listener.server.clients) == 20
    clients[0].close()
    host.reactor.run()
    assert len(listener.server.clients) == 19


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ("", 0o600),
        (":mode=600", 0o600),
        (":mode=666", 0o600),
        (":mode=777", 0o700),
        (":mode=0700", 0o700),
        (":backlog=5:lockfile=0", 0o600),
    ],
)
def test_a_socket_is_its_owners_alone(host: Host, options: str, mode: int, umask: int) -> None:
    """Whatever the endpoint's mode and the umask, others cannot connect, and the umask stays."""
    before = os.umask(umask)
    try:
        host.listen(f"unix:{host.path}{options}")
    finally:
        assert os.umask(before) == umask
    assert mode_of(host.path) == mode
    assert [entry.name for entry in host.path.parent.iterdir()] == ["sock"]


def test_a_socket_is_never_open_to_others(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its chmod the socket has no more rights than after it."""
    modes = []
    chmod = os.chmod

    def watched(path: Any, mode: int) -> None:
        modes.append(mode_of(Path(path)))
        chmod(path, mode)
        modes.append(mode_of(Path(path)))

    monkeypatch.setattr(os, "chmod", watched)
    before = os.umask(0)
    try:
        host.listen()
    finally:
        os.umask(before)
    assert modes
    assert not any(mode & 0o077 for mode in modes)


def test_a_stale_socket_is_replaced(host: Host) -> None:
    """The socket that a dead daemon left is no obstacle."""
    make_stale(host.path)
    host.listen()
    client = host.connect(b"hello")
    host.reactor.run()
    assert client.recv(100) == b"hello"


def test_a_live_socket_is_not_taken(host: Host) -> None:
    """The second daemon says who has the socket, and the first goes on."""
    host.listen()
    before = host.path.lstat()
    with pytest.raises(ListenError, match=rf"{host.path}: process {os.getpid()} \(.+\) has it"):
        listen(host.reactor, host.clock, f"unix:{host.path}", host.server())
    assert os.path.samestat(host.path.lstat(), before)
    client = host.connect(b"hello")
    host.reactor.run()
    assert client.recv(100) == b"hello"


def test_a_busy_socket_is_not_taken(host: Host) -> None:
    """A daemon that accepts nobody just now, its queue full, is alive all the same."""
    with ExitStack() as stack:
        live = stack.enter_context(socket.socket(socket.AF_UNIX))
        live.bind(str(host.path))
        live.listen(0)
        with suppress(BlockingIOError):
            while True:
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(host.path))
        with pytest.raises(ListenError, match=rf"{host.path}: another daemon has it"):
            host.listen()
        assert host.path.is_socket()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_not_touched(host: Host, kind: str) -> None:
    """A file that happens to be at the path is refused and kept."""
    if kind == "file":
        host.path.write_text("precious")
    elif kind == "directory":
        host.path.mkdir()
    else:
        make_stale(host.path.with_name("other"))
        host.path.symlink_to("other")
    before = host.path.lstat()
    with pytest.raises(ListenError, match=rf"{host.path}: it exists and is not a socket"):
        host.listen()
    assert os.path.samestat(host.path.lstat(), before)


def test_a_socket_of_another_kind_is_not_taken(host: Host) -> None:
    """A datagram socket such as syslog's is refused with the system's reason."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(host.path))
        with pytest.raises(ListenError, match=rf"cannot listen on {host.path}: .+"):
            host.listen()
        assert host.path.is_socket()


def test_a_socket_that_vanishes_meanwhile(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that stops and removes its socket just now does not hinder its successor."""
    make_stale(host.path)
    lstat = os.lstat

    def vanishing(path: Any) -> os.stat_result:
        found = lstat(path)
        if path == str(host.path):
            monkeypatch.undo()
            os.unlink(path)
        return found

    monkeypatch.setattr(os, "lstat", vanishing)
    host.listen()
    assert host.path.is_socket()


@pytest.mark.parametrize(
    "path", ["{0}/missing/sock", "{0}/" + "x" * 110, "", "/dev/null/sock", "{0}/a\0b"]
)
def test_a_path_that_cannot_be(host: Host, path: str) -> None:
    """A path without its directory, too long, empty or absurd is refused, and nothing is open."""
    path = path.format(host.path.parent)
    before = descriptors_open()
    with pytest.raises(ListenError, match="cannot listen on"):
        host.listen(f"unix:{path}")
    assert descriptors_open() == before
    assert not host.reactor.readers


def test_a_relative_path(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is of the directory in which the daemon began, also when it is removed."""
    monkeypatch.chdir(tmp_path)
    listener = host.listen("unix:sock")
    assert mode_of(tmp_path / "sock") == 0o600
    monkeypatch.chdir("/")
    listener.stopListening()
    assert not (tmp_path / "sock").exists()


@pytest.mark.lengthy
@forks
def test_of_two_daemons_that_start_at_once_one_listens(tmp_path: Path) -> None:
    """Daemons that all find the same stale socket: one replaces it, the others say who has it."""
    path = str(tmp_path / "sock")
    for _ in range(5):
        make_stale(Path(path))
        begin_read, begin_write = os.pipe()
        end_read, end_write = os.pipe()
        result_read, result_write = os.pipe()
        children = []
        for _ in range(6):
            child = os.fork()
            if not child:
                os.close(begin_write)
                os.close(end_write)
                _bind_slowly(path, begin_read, result_write, end_read)
            children.append(child)
        os.close(result_write)
        os.close(begin_write)
        with open(result_read, "rb") as results:
            outcomes = sorted(results.readline().strip() for _ in children)
        os.close(end_write)
        for child in children:
            os.waitpid(child, 0)
        os.close(begin_read)
        os.close(end_read)
        assert outcomes == [b"has it"] * 5 + [b"listens"]
        os.unlink(path)


def _bind_slowly(path: str, begin: int, result: int, end: int) -> None:
    """Bind in a child process once a pipe ends, looking away before the stale file's removal."""
    outcome = b"failed\n"
    try:
        unlink = os.unlink

        def slow(path: str) -> None:
            for _ in range(500):
                os.sched_yield()
            unlink(path)

        os.unlink = slow  # type: ignore[assignment]
        os.read(begin, 1)
        with closing(bind(path, 0o600)):
            os.write(result, b"listens\n")
            os.read(end, 1)
            os._exit(0)
    except ListenError as error:
        if "has it" in str(error):
            outcome = b"has it\n"
    finally:
        os.write(result, outcome)
        os._exit(1)


def test_a_stranger_cannot_hold_up_the_start(host: Host) -> None:
    """Who may only read the socket's directory, and locks it, does not keep the daemon waiting."""
    directory = os.open(host.path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        host.listen()
    finally:
        os.close(directory)


def test_a_lock_whose_file_is_gone_is_no_lock(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited for the lock of a daemon that removed it takes the one that others meet."""
    lock = f"{host.path}.lock"
    flock, chmod = fcntl.flock, os.chmod
    removals = [lock]
    met: list[bool] = []

    def after_removal(descriptor: int, operation: int) -> None:
        if removals:
            os.unlink(removals.pop())
        flock(descriptor, operation)

    def watched(path: str, mode: int) -> None:
        with open(lock) as other, suppress(BlockingIOError):
            flock(other.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            met.append(False)
        chmod(path, mode)

    monkeypatch.setattr(fcntl, "flock", after_removal)
    monkeypatch.setattr(os, "chmod", watched)
    host.listen()
    assert met == []
    assert not removals
    assert not os.path.exists(lock)


def test_stopping_removes_the_socket(host: Host) -> None:
    """When the daemon stops listening its socket is gone, and stopping twice is harmless."""
    before = descriptors_open()
    listener = host.listen()
    listener.stopListening()
    assert listener.fileno() == -1
    assert not host.path.exists()
    assert descriptors_open() == before
    assert not host.reactor.readers
    make_stale(host.path)
    listener.stopListening()
    assert host.path.exists()


def test_stopping_leaves_a_successors_socket(host: Host) -> None:
    """A daemon whose socket was replaced does not remove the new one."""
    listener = host.listen()
    host.path.unlink()
    successor = listen(host.reactor, host.clock, f"unix:{host.path}", host.server())
    listener.stopListening()
    client = host.connect(b"hello")
    host.reactor.run()
    assert client.recv(100) == b"hello"
    host.stop(successor)
    assert not host.path.exists()


# Endpoints.


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp:8080",
        "tcp:8080:interface=127.0.0.1",
        "tcp6:8080",
        "ssl:8443",
        "stdio:",
        "systemd:domain=UNIX:index=0",
        "systemd:domain=UNIX:name=virtlogd.socket",
        "systemd:domain=NONE:index=0",
        "systemd:name=virtlogd.socket",
        "systemd:",
        "systemd",
        "fd:3",
        "unix",
        "unix:/a:mode=rw",
        "unix:/a:mode=999",
        "unix:/a:colour=red",
        "unix:/a:600:5:0:x",
        "unix:",
        "unix:/a:mode=9",
        "/a:mode=9",
        "unix:/" + "x" * 107,
        "nonsense",
        "nonsense:1",
        "8080",
        ":",
        "",
        "\\",
        "=",
        "unix=/a",
        "haproxy:tcp:80",
    ],
)
def test_an_endpoint_that_cannot_be_served(host: Host, endpoint: str) -> None:
    """A string that is no UNIX socket's endpoint is quoted, and what would be right is told."""
    with pytest.raises(ListenError) as raised:
        host.listen(endpoint)
    message = str(raised.value)
    assert message.startswith("a server: ")
    assert repr(endpoint) in message
    assert "unix:/" in message
    # (no word of Twisted's, or of Python's)
    assert not re.search(r"_parse|argument|literal|invalid|AF_UNIX", message)
    assert not host.reactor.readers


def test_a_bare_path_is_an_endpoint(host: Host) -> None:
    """Who writes just the path of a socket means that, with options behind it too."""
    odd = host.path.with_name("a:b=c\\")
    for endpoint, path in (
        (str(host.path), host.path),
        (f"{host.path}:mode=700", host.path),
        (quoted(str(odd)), odd),
    ):
        listener = listen(host.reactor, host.clock, endpoint, host.server())
        assert path.is_socket()
        host.stop(listener)


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("unix:", "it has no path"),
        ("unix:/x:mod=600", "there is no option 'mod'"),
        ("unix:/x:b", "'b' is not an octal mode, as 600; a ':' in a path is written"),
        ("unix:/" + "x" * 107, "the path is too long: 108 bytes, where a socket's may have 107"),
    ],
)
def test_an_endpoint_is_refused_in_plain_words(host: Host, endpoint: str, complaint: str) -> None:
    """The message names what is wrong, and what to write."""
    with pytest.raises(ListenError, match=re.escape(complaint)):
        host.listen(endpoint)


#: Twisted's endpoint string ``systemd:`` knows names from 22.10 on.
needs_names = pytest.mark.skipif(
    (version.major, version.minor) < (22, 10), reason="this Twisted knows no names of sockets"
)


@needs_names
def test_an_endpoint_that_was_not_handed_over(host: Host) -> None:
    """A socket that systemd did not pass is said to be just that."""
    with pytest.raises(ListenError, match="no such socket was handed over"):
        host.listen("systemd:domain=UNIX:name=virtlogd.socket")


_ADOPT = """
import json, os, socket, stat, sys, tempfile

path = sys.argv[1]
def unix(name, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(path + name)
    os.chmod(path + name, 0o660)
    return sock

listening = unix("listening")
listening.listen()
passed = [listening, unix("bound"), socket.create_server(("127.0.0.1", 0)),
          unix("datagram", socket.SOCK_DGRAM), open(os.devnull)]
descriptors = [os.dup(each.fileno()) for each in passed]
for each in passed:
    each.close()
for number, descriptor in enumerate(descriptors):
    os.dup2(descriptor, 100 + number)
    os.close(descriptor)
for number in range(len(descriptors)):
    os.dup2(100 + number, 3 + number)
    os.close(100 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="5",
                  LISTEN_FDNAMES="virtlogd.socket:b:tcp:d:file")

from twisted.internet.task import Clock
from tests.fakes.reactor import FakeReactor
from tests.sockets.fakes import descriptors_open
from tests.sockets.test_listener import Echo
from twisted_virtlog.errors import ListenError
from twisted_virtlog.sockets.endpoints import listen
from twisted_virtlog.sockets.server import Server

reactor = FakeReactor()
result = {}
for endpoint in ["domain=UNIX:name=virtlogd.socket", "domain=INET:index=1", "domain=UNIX:index=2",
                 "domain=UNIX:name=d", "domain=UNIX:index=4"]:
    before = descriptors_open()
    server = Server("a server", {os.geteuid()}, 10, Echo)
    try:
        listener = listen(reactor, Clock(), "systemd:" + endpoint, server)
    except ListenError as error:
        result[endpoint] = [str(error), descriptors_open() - before]
        continue
    name = listener.getHost().name
    name = name if isinstance(name, str) else name.decode()
    client = socket.socket(socket.AF_UNIX)
    client.connect(name)
    client.send(b"hello")
    reactor.run()
    answer = client.recv(100).decode()
    client.close()
    reactor.run()
    listener.stopListening()
    result[endpoint] = [name, answer, oct(stat.S_IMODE(os.lstat(name).st_mode)),
                        descriptors_open() - before]
print(json.dumps(result))
"""


@needs_names
def test_sockets_that_systemd_hands_over(tmp_path: Path) -> None:
    """They are used as they are, never removed nor re-moded; what is no UNIX socket is refused."""
    path = str(tmp_path) + "/"
    ran = subprocess.run(
        [sys.executable, "-c", _ADOPT, path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["domain=UNIX:name=virtlogd.socket"] == [path + "listening", "hello", "0o660", -1]
    # The family is what the socket is, not what the endpoint says; listening is begun.
    assert found["domain=INET:index=1"] == [path + "bound", "hello", "0o660", -1]
    message, left = found["domain=UNIX:index=2"]
    assert "descriptor 5 is not a UNIX socket" in message
    assert left == 0
    message, left = found["domain=UNIX:name=d"]
    assert "a server: " in message
    assert "name=d" in message
    assert left == 0
    message, left = found["domain=UNIX:index=4"]
    assert "Socket operation on non-socket" in message
    assert left == 0


# Who is served.


def test_a_peer_of_another_user_is_closed_unheard(host: Host) -> None:
    """Who is not allowed is closed before a byte is read, and the log names process and user."""
    listener = host.listen(uids={os.geteuid() + 1})
    client = host.connect(b"hello")
    with capturedLogs() as logged:
        host.reactor.run()
    with suppress(ConnectionResetError):
        assert client.recv(100) == b""
    assert host.conversations == []
    assert not listener.server.clients
    assert listener.server.refused == 1
    (event,) = logged
    assert event["log_level"] is LogLevel.error
    text = event["log_format"].format(**event)
    expected = f"Disallowing client {os.getpid()} with uid {os.geteuid()}"
    assert f"operation forbidden: {expected}" in text


@forks
@pytest.mark.root
def test_another_user_is_not_served(host: Host) -> None:
    """A process of another user that came through an open socket gets no answer; root does."""
    directory = Path(tempfile.mkdtemp())
    try:
        host.path = directory / "sock"
        host.listen(uids={0})
        host.path.chmod(0o777)
        directory.chmod(0o755)
        child = os.fork()
        if not child:
            _ask_as_nobody(str(host.path))
        own = host.connect(b"mine")
        with capturedLogs() as logged:
            while not logged:
                assert select.select([host.listener], [], [], PATIENCE)[0]
                host.reactor.run()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        host.reactor.run()
        assert own.recv(100) == b"mine"
        assert [(event["pid"], event["uid"]) for event in logged] == [(child, NOBODY)]
        assert len(host.conversations) == 1
    finally:
        shutil.rmtree(directory)


def _ask_as_nobody(path: str) -> None:
    """Connect as another user in a child process; exit with 0 if there is no answer."""
    status = 1
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(path)
            with suppress(ConnectionResetError, BrokenPipeError):
                client.send(b"theirs")
                if client.recv(100):
                    os._exit(2)
            status = 0
    finally:
        os._exit(status)


def test_a_conversation_that_cannot_begin_costs_its_client(
    host: Host, expected_failures: list[str]
) -> None:
    """If one client's conversation cannot be made the next client is served nevertheless."""
    expected_failures.append("ZeroDivisionError")
    failures = [ZeroDivisionError()]

    def converse() -> Echo:
        if failures:
            raise failures.pop()
        return host.converse()

    listener = host.listen(converse=converse)
    before = descriptors_open()
    first, second = host.connect(b"first"), host.connect(b"second")
    with capturedLogs() as logged:
        host.reactor.run()
    with suppress(ConnectionResetError):
        assert first.recv(100) == b""
    assert second.recv(100) == b"second"
    assert len(listener.server.clients) == 1
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]
    assert descriptors_open() == before + 3


# How many are served.


def test_at_the_limit_clients_wait_their_turn(host: Host) -> None:
    """With max_clients connected the others wait, unrefused, and come in order as places free."""
    listener = host.listen(max_clients=2)
    clients = [host.connect(b"%d" % number) for number in range(6)]
    with capturedLogs() as logged:
        host.reactor.run()
    assert [event["log_level"] for event in logged] == [LogLevel.warn]
    assert [has_answer(client) for client in clients] == [True, True, False, False, False, False]
    assert listener not in host.reactor.readers
    for number in range(2, 6):
        assert not has_answer(clients[number])
        clients[number - 2].close()
        host.reactor.run()
        assert clients[number].recv(100) == b"%d" % number
        assert len(listener.server.clients) == 2
    clients[4].close()
    host.reactor.run()
    assert listener in host.reactor.readers


def test_many_clients_at_once_wait_in_the_backlog(host: Host) -> None:
    """More clients than one turn accepts are all served."""
    host.listen()
    clients = [host.connect(b"%d" % number) for number in range(30)]
    host.reactor.turn()
    assert 0 < len(host.conversations) < 30
    host.reactor.run()
    assert [client.recv(100) for client in clients] == [b"%d" % n for n in range(30)]


@pytest.mark.parametrize("door", ["bound", "handed over", "resumed"])
def test_a_crowd_waits_at_every_door(host: Host, door: str) -> None:
    """Hundreds connect at once to a daemon that is busy, none is turned away, all are served."""
    if door == "bound":
        host.listen(max_clients=1000)
    else:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(host.path))
            sock.listen(1)
            server = host.server(max_clients=1000)
            if door == "handed over":
                listener = adopt(host.reactor, host.clock, sock.fileno(), server)
            else:
                state = SocketState(os.dup(sock.fileno()), bound=True)
                listener = Listener.resumed(host.reactor, host.clock, state, server)
            host._stack.callback(host.stop, listener)
    clients = []
    for _ in range(300):
        client = host._stack.enter_context(socket.socket(socket.AF_UNIX))
        client.setblocking(False)
        client.connect(str(host.path))
        client.send(b"hello")
        clients.append(client)
    host.reactor.run()
    assert [client.recv(100) for client in clients] == [b"hello"] * 300


def told(logged: Any) -> list[str]:
    """Return what was logged."""
    return [event["log_format"].format(**event) for event in logged]


def test_a_limit_of_none_may_let_nobody_in(host: Host) -> None:
    """Not even the first client, with a warning, until the limit is raised."""
    with capturedLogs() as logged:
        listener = host.listen(max_clients=0, lets_first_in=False)
    assert told(logged) == ["a server: the limit is 0 clients; nobody is let in"]
    assert logged[0]["log_level"] is LogLevel.warn
    waiting = host.connect(b"hello")
    host.reactor.run()
    assert not has_answer(waiting)
    listener.server.limit(1)
    host.reactor.run()
    assert waiting.recv(100) == b"hello"
    with capturedLogs() as logged:
        listener.server.limit(0)
    assert "nobody is let in any more" in told(logged)[0]


# The file is removed while the daemon runs.


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_socket_whose_file_was_removed_is_made_again(host: Host, what: str) -> None:
    """With the same rights; who waited on the old one is served, and it is told once."""
    host.path = host.path.parent / "run" / "sock"
    host.path.parent.mkdir()
    listener = host.listen(f"unix:{host.path}:mode=700")
    listener.bind_again()
    waiting = host.connect(b"waiting")
    if what == "file":
        host.path.unlink()
    else:
        shutil.rmtree(host.path.parent)
    before = descriptors_open()
    with capturedLogs() as logged:
        listener.bind_again()
        listener.bind_again()
    assert told(logged) == [
        f"a server: the file {host.path} of the socket was gone; it was made again"
    ]
    assert mode_of(host.path) == 0o700
    # (the waiting client was accepted)
    assert descriptors_open() == before + 1
    later = host.connect(b"later")
    host.reactor.run()
    assert (waiting.recv(100), later.recv(100)) == (b"waiting", b"later")
    listener.stopListening()
    assert not host.path.exists()


def test_a_socket_of_which_nobody_said_the_file_is_made_again(host: Host) -> None:
    """It came from virtlogd, and its file was gone before."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(host.path))
        sock.listen()
        host.path.unlink()
        state = SocketState(os.dup(sock.fileno()), bound=True)
        listener = Listener.resumed(host.reactor, host.clock, state, host.server())
    host._stack.callback(host.stop, listener)
    listener.bind_again()
    client = host.connect(b"hello")
    host.reactor.run()
    assert client.recv(100) == b"hello"
    assert mode_of(host.path) == 0o600


def test_a_full_server_binds_again_and_lets_in_later(host: Host) -> None:
    """At the limit nobody is accepted on the new socket until somebody leaves."""
    listener = host.listen(max_clients=1)
    first = host.connect(b"first")
    host.reactor.run()
    host.path.unlink()
    listener.bind_again()
    second = host.connect(b"second")
    host.reactor.run()
    assert not has_answer(second)
    first.close()
    host.reactor.run()
    assert second.recv(100) == b"second"


def test_another_daemons_socket_is_never_taken(host: Host) -> None:
    """It is told once who has the path; when that one is gone the path is taken."""
    listener = host.listen()
    host.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(host.path))
        other.listen()
        with capturedLogs() as logged:
            listener.bind_again()
            listener.bind_again()
        (line,) = told(logged)
        assert line.startswith("a server: the socket's file is gone, and cannot listen on")
        assert f"process {os.getpid()}" in line
    listener.bind_again()
    client = host.connect(b"hello")
    host.reactor.run()
    assert client.recv(100) == b"hello"


def test_a_file_in_a_sockets_place_is_not_touched(host: Host) -> None:
    """It is told what is there."""
    listener = host.listen()
    host.path.unlink()
    host.path.write_text("precious")
    with capturedLogs() as logged:
        listener.bind_again()
    assert "it exists and is not a socket" in told(logged)[0]
    assert host.path.read_text() == "precious"


def test_a_handed_over_socket_is_its_managers(host: Host) -> None:
    """That its file is gone is told once; nothing is bound."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(host.path))
        sock.listen()
        listener = adopt(host.reactor, host.clock, sock.fileno(), host.server())
    host._stack.callback(host.stop, listener)
    listener.bind_again()
    host.path.unlink()
    with capturedLogs() as logged:
        listener.bind_again()
        listener.bind_again()
    (line,) = told(logged)
    assert "socket that was handed over is gone" in line
    assert not host.path.exists()


def test_a_limit_of_none_serves_one_and_never_again(host: Host) -> None:
    """With max_clients 0 exactly one client is ever accepted, as by libvirt's daemons."""
    host.listen(max_clients=0)
    first, second = host.connect(b"first"), host.connect(b"second")
    host.reactor.run()
    assert first.recv(100) == b"first"
    first.close()
    host.reactor.run()
    assert not has_answer(second)
    assert len(host.conversations) == 1


def test_without_descriptors_accepting_rests_and_goes_on(host: Host) -> None:
    """When no descriptor is left clients wait; a second later they are served, if there is one."""
    listener = host.listen()
    waiting = host.connect(b"hello")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with capturedLogs() as logged:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 20, hard))
            with suppress(OSError):
                while True:
                    taken.append(os.dup(waiting.fileno()))
            listener.doRead()
            listener.doRead()
            assert listener not in host.reactor.readers
            host.clock.advance(1)
            assert listener in host.reactor.readers
            listener.doRead()
            assert listener not in host.reactor.readers
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [event["log_level"] for event in logged] == [LogLevel.error] * 2
    assert "Too many open files" in logged[0]["log_format"].format(**logged[0])
    assert not has_answer(waiting)
    host.clock.advance(1)
    host.reactor.run()
    assert waiting.recv(100) == b"hello"


def test_a_listener_that_cannot_be_watched_tries_again(host: Host) -> None:
    """When a client leaves and the kernel refuses to watch the socket, others come in later."""
    listener = host.listen(max_clients=1)
    first, second = host.connect(b"first"), host.connect(b"second")
    host.reactor.run()
    host.reactor.refuses = True
    with capturedLogs() as logged:
        first.close()
        host.reactor.run()
        host.clock.advance(1)
    assert [event["log_level"] for event in logged] == [LogLevel.error] * 2
    assert not listener.server.clients
    host.reactor.refuses = False
    host.clock.advance(1)
    host.reactor.run()
    assert second.recv(100) == b"second"


def test_a_listener_that_failed_goes_on(host: Host, expected_failures: list[str]) -> None:
    """What nobody foresaw in accepting does not end it, while the reactor gives up who raises."""
    expected_failures.append("ZeroDivisionError")
    listener = host.listen()
    events = EventSet(host.reactor)
    listener._reactor = events
    host.reactor.removeReader(listener)
    events.addReader(listener)
    waiting = host.connect(b"hello")

    def fail(_reactor: object, sock: socket.socket) -> None:
        sock.close()
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(listener.server, "admit", fail)
        host.reactor.run()
    again = host.connect(b"again")
    host.reactor.run()
    assert not has_answer(again)
    host.clock.advance(1)
    host.reactor.run()
    assert again.recv(100) == b"again"
    with pytest.raises(ConnectionResetError):
        waiting.recv(100)
    host.stop(listener)
    events.close()


def test_clients_leave_descriptors_to_logs(host: Host) -> None:
    """Some are free still when accepting rests, so that a file can be replaced."""
    listener = host.listen()
    waiting = [host.connect(b"hello") for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    taken: list[int] = []
    with capturedLogs():
        try:
            # (no number below that is free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
            with suppress(OSError):
                while True:
                    taken.append(os.dup(waiting[0].fileno()))
            before = len(taken)
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 11, hard))
            listener.doRead()
            with suppress(OSError):
                while True:
                    taken.append(os.dup(waiting[0].fileno()))
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(taken) - before == 8
    assert listener not in host.reactor.readers
    host.stop(listener)


def test_a_rest_ends_with_listening(host: Host) -> None:
    """A listener that is stopped while it rests does not go on."""
    listener = host.listen()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    host.connect(b"hello")
    with capturedLogs():
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            listener.doRead()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert host.clock.getDelayedCalls()
    listener.stopListening()
    assert not host.clock.getDelayedCalls()
    host.clock.advance(10)
    assert not host.reactor.readers


# The end.


def test_finish_with_nobody_connected(host: Host) -> None:
    """With no client connected all is finished at once."""
    listener = host.listen()
    listener.stopListening()
    assert fired(listener.server.finish(host.clock))
    assert not host.clock.getDelayedCalls()


def fired(deferred: Deferred[None]) -> bool:
    """Return whether a Deferred has a result."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results in ([], [None])
    return bool(results)


def test_finish_answers_what_is_in_progress(host: Host) -> None:
    """Idle clients are closed at once, and one that awaits its answer afterwards."""
    listener = host.listen()
    idle, busy = host.connect(b"hello"), host.connect(b"?")
    host.reactor.run()
    listener.stopListening()
    finished = listener.server.finish(host.clock)
    assert not fired(finished)
    assert receive_to_end(idle) == b"hello"
    assert not has_answer(busy)
    host.conversations[1].later.callback(None)
    assert fired(finished)
    assert receive_to_end(busy) == b"?"
    assert not host.clock.getDelayedCalls()
    assert not host.reactor.readers


def test_finish_cuts_off_who_does_not_read(host: Host) -> None:
    """Clients that do not read their answers have five seconds, then they are cut off."""
    listener = host.listen()
    slow, reader, busy = host.connect(b"x"), host.connect(b"x"), host.connect(b"?")
    host.reactor.run()
    for client in list(listener.server.clients.values())[:2]:
        client.connection.send(b"y" * 1_000_000)
    listener.stopListening()
    finished = listener.server.finish(host.clock)
    received = b""
    while len(received) < 1_000_001:
        received += reader.recv(100_000)
        host.reactor.run()
    assert reader.recv(1) == b""
    host.clock.advance(4.9)
    assert not fired(finished)
    host.clock.advance(0.1)
    assert fired(finished)
    assert not listener.server.clients
    assert 0 < len(receive_to_end(slow)) < 1_000_000
    assert receive_to_end(busy) == b""
    host.conversations[2].later.callback(None)
    assert not host.reactor.writers


def test_finish_goes_on_past_a_conversation_that_fails(
    host: Host, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """One conversation that cannot end in order does not keep the others from it."""
    expected_failures.append("ZeroDivisionError")
    listener = host.listen()
    first, second = host.connect(b"a"), host.connect(b"b")
    host.reactor.run()
    monkeypatch.setattr(host.conversations[0], "finish", lambda: 1 / 0)
    listener.stopListening()
    assert fired(listener.server.finish(host.clock))
    assert receive_to_end(first) == b"a"
    assert receive_to_end(second) == b"b"


_SERVE = """
import os, socket, sys
from twisted.internet import {reactor}
{reactor}.install()
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from tests.sockets.test_listener import Echo
from twisted_virtlog.loop.clock import MonotonicClock
from twisted_virtlog.sockets.endpoints import listen
from twisted_virtlog.sockets.server import Server

class Later(Echo):
    def handle_next(self):
        answered = super().handle_next()
        if isinstance(answered, Deferred):
            clock.callLater(0, self.later.callback, None)
        return answered

clock = MonotonicClock(reactor)
server = Server("a server", {{os.geteuid()}}, 3, Later)
listener = listen(reactor, clock, "unix:" + sys.argv[1], server)

def read():
    # Reads until the test closes its end, then stops.
    sys.stdin.read()
    reactor.callFromThread(stop)

def stop():
    listener.stopListening()
    listener.server.finish(clock).addCallback(lambda _: (clock.close(), reactor.stop()))

reactor.callInThread(read)
reactor.callWhenRunning(lambda: print("listening", flush=True))
reactor.run()
"""


@pytest.mark.parametrize("reactor", ["epollreactor", "pollreactor", "selectreactor"])
def test_on_each_of_twisteds_reactors(tmp_path: Path, reactor: str) -> None:
    """Half-closes, floods, clients that leave: each reactor serves all and ends with nobody."""
    path = str(tmp_path / "sock")
    daemon = subprocess.Popen(
        [sys.executable, "-c", _SERVE.format(reactor=reactor), path],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with daemon, ExitStack() as stack:
        stack.callback(daemon.kill)
        assert daemon.stdout
        assert daemon.stdout.readline() == b"listening\n"

        def connect() -> socket.socket:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(PATIENCE)
            client.connect(path)
            return client

        flooding = connect()
        with suppress(BlockingIOError):
            while fill(flooding):
                pass
        for _ in range(10):
            leaving = connect()
            leaving.send(b"?")
            leaving.close()
            for request in (b"?", b"now"):
                client = connect()
                client.send(request)
                client.shutdown(socket.SHUT_WR)
                assert receive_to_end(client) == request
        idle = connect()
        idle.send(b"now")
        assert idle.recv(100) == b"now"
        flooding.close()
        errors = daemon.communicate(timeout=PATIENCE)[1]
        assert receive_to_end(idle) == b""
        assert daemon.returncode == 0
        assert errors == b""
    assert not os.path.exists(path)
