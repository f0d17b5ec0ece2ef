"""Every command of the real virt-admin says the same of this daemon as it did of virtlogd."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import documented, documents
from tests.stack import admin_socket
from tests.stack.admin_socket import ADMIN_SOCKET, GET_LIB_VERSION
from tests.stack.rpc_client import (
    ADMIN_PROGRAM,
    OPEN,
    POSITION,
    Connection,
    Failure,
    Place,
    frame,
    open_arguments,
    position_arguments,
)
from tests.stack.sides import LOGS, Side, running
from tests.stack.stack import VIRTLOGD, twisted_virtlog

pytestmark = pytest.mark.libvirt

_VECTORS = Path(__file__).parents[1] / "vectors" / "virt_admin.json"
_RECORD: dict[str, Any] = json.loads(_VECTORS.read_text())
RUNS: list[dict[str, Any]] = _RECORD["runs"]

_SECONDS = 60.0
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+0000")
_PID = re.compile(r"(?<=unix_process_id: )\d+")
#: The number of virt-admin itself among the clients of the server "admin".
_ADMIN_ID = re.compile(r"^ \d+ +(?=unix)", re.MULTILINE)


class Outcome(NamedTuple):
    """How virt-admin ended, and what it said."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Host:
    """A daemon of the system with its default paths, in a mount namespace."""

    side: Side

    def virt_admin(
        self, *arguments: str, uri: str = "virtlogd:///system", through: tuple[str, ...] = ()
    ) -> Outcome:
        """Run it in the daemon's namespace, as an operator would.

        :param through: a command that runs it.
        """
        return self._run(*through, "virt-admin", "-c", uri, *arguments)

    def _run(self, *command: str) -> Outcome:
        ended = subprocess.run(
            ["nsenter", "--mount", "--target", str(self.side.process.pid), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        )
        return Outcome(ended.returncode, ended.stdout, ended.stderr)

    def pasted(self, text: str) -> Outcome:
        """Run a command line in there, as root has it."""
        return self._run("bash", "-c", text)

    def done(self, *arguments: str) -> str:
        """Run a command that succeeds; give what it says."""
        outcome = self.virt_admin(*arguments)
        assert (outcome.status, outcome.stderr) == (0, "")
        return outcome.stdout


@contextlib.contextmanager
def host(
    directory: Path, *settings: str, command: Sequence[str] = twisted_virtlog()
) -> Iterator[Host]:
    """Run a daemon."""
    with running(directory, command, settings) as side:
        admin_socket.wait_until_it_answers(side)
        yield Host(side)


def _all_runs(directory: Path, command: Sequence[str]) -> list[Outcome]:
    """Do all that was recorded, in its order, with two log clients, the numbers 2 and 3."""
    with (
        host(directory, command=command) as started,
        started.side.connect() as first,
        started.side.connect(),
    ):
        assert isinstance(first.call(POSITION, position_arguments(b"/none")).result, Failure)
        return [started.virt_admin(*run["args"]) for run in RUNS]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What virt-admin says of this daemon."""
    return _all_runs(tmp_path_factory.mktemp("host"), twisted_virtlog())


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What virt-admin says of virtlogd: as recorded, or as another version of both says now."""
    version = subprocess.run(["virt-admin", "-v"], capture_output=True, text=True, check=True)
    if version.stdout.strip() == _RECORD["libvirt_version"]:
        return [Outcome(run["exit_code"], run["stdout"], run["stderr"]) for run in RUNS]
    found = _all_runs(tmp_path_factory.mktemp("virtlogd"), VIRTLOGD)
    # What this daemon is compatible with, whatever is installed; see doc/differences.md.
    return [
        one._replace(
            stdout=re.sub(
                "(?<=^Running against daemon: ).*",
                _RECORD["libvirt_version"],
                one.stdout,
                flags=re.MULTILINE,
            )
        )
        for one in found
    ]


def told(arguments: list[str], outcome: Outcome) -> Outcome:
    """Leave out what differs from run to run."""
    stdout = _PID.sub("PID", _TIME.sub("TIME", outcome.stdout))
    if arguments[-1] == "admin":
        stdout = _ADMIN_ID.sub(" ID ", stdout)
    return outcome._replace(stdout=stdout)


class Difference(NamedTuple):
    """What is said otherwise than by virtlogd, and why; see doc/differences.md."""

    command: str
    why: str
    said: Outcome


_DONE = Outcome(0, "\n", "")
_SERVERS = Outcome(
    0,
    """\
 Id   Name
----------------
 0    admin
 1    jsonrpc
 2    virtlogd

""",
    "",
)


def _threads(priority: int) -> Outcome:
    """Return what is said of threads before anything needed one."""
    return Outcome(
        0,
        f"""\
minWorkers     : 0
maxWorkers     : 10
nWorkers       : 0
freeWorkers    : 0
prioWorkers    : {priority}
jobQueueDepth  : 0

""",
        "",
    )


_JSONRPC = "the clients of JSON-RPC are a server of their own"
_THREADS = "there is a pool of threads, and it can be changed"

#: By the index of the run.
DIFFERENCES = {
    2: Difference("srv-list", _JSONRPC, _SERVERS),
    3: Difference("server-list", _JSONRPC, _SERVERS),
    4: Difference("srv-threadpool-info virtlogd", _THREADS, _threads(0)),
    5: Difference("srv-threadpool-info admin", _THREADS, _threads(0)),
    8: Difference("srv-threadpool-info virtlogd", _THREADS, _threads(2)),
    10: Difference("srv-threadpool-set virtlogd --max-workers 5", _THREADS, _DONE),
    11: Difference("srv-threadpool-set virtlogd --min-workers 1", _THREADS, _DONE),
    12: Difference("srv-threadpool-set virtlogd --min-workers 1 --max-workers 5", _THREADS, _DONE),
    13: Difference(
        "srv-threadpool-set virtlogd --max-workers 0",
        _THREADS,
        Outcome(
            1,
            "\n",
            "error: Unable to change server workerpool parameters\n"
            "error: invalid argument: minWorkers cannot be larger than maxWorkers\n",
        ),
    ),
    33: Difference(
        "client-info virtlogd 3",
        "a client has an identity before its first call",
        Outcome(
            0,
            """\
id             : 3
connection_time: TIME
transport      : unix
readonly       : no
unix_user_id   : 0
unix_user_name : root
unix_group_id  : 0
unix_group_name: root
unix_process_id: PID

""",
            "",
        ),
    ),
}


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "number", range(len(RUNS)), ids=lambda n: f"{n}: {' '.join(RUNS[n]['args'])}"
)
def test_a_command_says_what_it_said_of_virtlogd(
    outcomes: list[Outcome], references: list[Outcome], number: int
) -> None:
    """Exit status and output are the same, but for the differences above."""
    run = RUNS[number]
    recorded = told(run["args"], references[number])
    said = told(run["args"], outcomes[number])
    if number not in DIFFERENCES:
        assert said == recorded
        return
    difference = DIFFERENCES[number]
    assert difference.command == " ".join(run["args"])
    assert said == difference.said != recorded


# What comes of them.


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Host]:
    """A daemon of one test."""
    with host(tmp_path) as started:
        yield started


def clients(daemon: Host, server: str = "virtlogd") -> list[int]:
    """Return the numbers of a server's clients."""
    lines = daemon.done("client-list", server).splitlines()
    return [int(line.split()[0]) for line in lines[2:] if line]


def answers(client: Connection) -> bool:
    """Return whether the daemon serves a client, whose first call this is."""
    client.send(frame(POSITION, position_arguments(b"/none")))
    return client.receive().header.procedure == POSITION


@pytest.mark.lengthy
def test_the_document_s_commands_say_what_it_shows(daemon: Host) -> None:
    """One after another, with the client that they disconnect and another that comes then."""
    run = set()
    with contextlib.ExitStack() as connected:
        for command in documents.commands(documents.CHECKOUT / "doc" / "virt-admin.md"):
            assert command.prompt == "#"
            # Each of these sections has a client; the first one's is disconnected there.
            if command.section in ("Clients", "Limits") and not clients(daemon):
                assert answers(connected.enter_context(daemon.side.connect()))
            outcome = daemon.pasted(command.text)
            assert (outcome.status, outcome.stderr) == (0, "")
            documents.compare(command, outcome.stdout.splitlines(), _but_for_times)
            run.add(documented.row(command))
    assert run == documented.rows(documented.VIRT_ADMIN)


def _but_for_times(line: str) -> str:
    """Return a line without times, processes and widths."""
    return " ".join(re.sub("-{4,}", "--", _PID.sub("PID", _TIME.sub("TIME", line))).split())


def test_a_client_is_disconnected_and_its_log_stays_open(daemon: Host) -> None:
    """The connection ends at once; what the guest writes still lands in the log."""
    path = f"{LOGS}/web.log".encode()
    with daemon.side.connect() as client, daemon.side.connect() as other:
        opened = client.call(OPEN, open_arguments(path))
        (pipe,) = opened.descriptors
        first, second = clients(daemon)
        assert daemon.done("client-disconnect", "virtlogd", str(first)) == (
            f"Client '{first}' disconnected\n"
        )
        assert client.rest() == b""
        assert clients(daemon) == [second]
        os.write(pipe, b"still there\n")
        place = other.call(POSITION, position_arguments(path)).result
        os.close(pipe)
        assert isinstance(place, Place)
        assert place.offset == len("still there\n")
        assert daemon.side.outside(path.decode()).read_bytes() == b"still there\n"


def test_a_client_of_json_rpc_is_listed_and_disconnected(daemon: Host) -> None:
    """As one of the server jsonrpc, with its user and process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_SECONDS)
        client.connect(str(daemon.side.outside("/run/libvirt/virtlogd-jsonrpc-sock")))
        (number,) = clients(daemon, "jsonrpc")
        info = daemon.done("client-info", "jsonrpc", str(number))
        assert f"unix_process_id: {os.getpid()}\n" in info
        daemon.done("client-disconnect", "jsonrpc", str(number))
        assert client.recv(1) == b""


@pytest.mark.lengthy
def test_a_limit_holds_at_once_and_for_those_who_wait(daemon: Host) -> None:
    """Nobody is disconnected or refused; a higher limit lets in who waits."""
    with daemon.side.connect() as first, daemon.side.connect() as second:
        assert answers(first)
        assert answers(second)
        limits = ("--max-clients", "1", "--max-unauth-clients", "1")
        daemon.done("srv-clients-set", "virtlogd", *limits)
        with daemon.side.connect() as third:
            third.send(frame(POSITION, position_arguments(b"/none")))
            assert len(clients(daemon)) == 2
            assert "nclients_max        : 1\nnclients            : 2\n" in daemon.done(
                "srv-clients-info", "virtlogd"
            )
            assert not third.has_answer()
            first.close()
            assert len(clients(daemon)) == 1
            assert not third.has_answer()
            daemon.done("srv-clients-set", "virtlogd", "--max-clients", "2")
            assert third.receive().header.procedure == POSITION


@pytest.mark.lengthy
def test_admin_clients_have_a_limit_of_their_own(tmp_path: Path) -> None:
    """admin_max_clients of the configuration."""
    with host(tmp_path, "admin_max_clients = 1") as daemon:
        version = frame(GET_LIB_VERSION, program=ADMIN_PROGRAM)
        with (
            admin_socket.connect(daemon.side) as first,
            admin_socket.connect(daemon.side) as second,
        ):
            for client in (first, second):
                client.send(version)
            assert first.receive().header.procedure == GET_LIB_VERSION
            with daemon.side.connect() as other:
                assert answers(other)
            assert not second.has_answer()
            first.close()
            assert second.receive().header.procedure == GET_LIB_VERSION


@pytest.mark.lengthy
def test_filters_and_outputs_change_what_is_logged(daemon: Host) -> None:
    """A debug message of one part is written once a filter says so, and where it is said."""
    log = daemon.side.outside("/run/own.log")
    daemon.done("daemon-log-outputs", "--outputs", "1:file:/run/own.log")
    with daemon.side.connect() as client:

        def call_badly() -> None:
            client.send(frame(POSITION, b"\0"))
            client.receive()

        def wait_for_message(log: Path) -> None:
            # (written by a thread, soon)
            while "DOMAIN_GET_LOG_FILE_POSITION" not in log.read_text():
                assert answers(client)

        call_badly()
        daemon.done("daemon-log-filters", "--filters", "1:rpc")
        call_badly()
        wait_for_message(log)
        daemon.done("daemon-log-filters", "--filters", "4:rpc")
        call_badly()
        assert "DOMAIN_GET_LOG_FILE_POSITION" not in daemon.side.said.read_text()
        # The default output shows all that the filters let through, as doc/differences.md says.
        daemon.done("daemon-log-filters", "--filters", "1:rpc")
        daemon.done("daemon-log-outputs", "--outputs", "")
        call_badly()
        wait_for_message(daemon.side.said)
        # (the index of times, whose directory can only be read here, may tell of that at any time)
    calls = [line for line in log.read_text().splitlines() if ": history :" not in line]
    assert len(calls) == 1


@pytest.mark.slow
def test_the_timeout_ends_the_daemon(daemon: Host) -> None:
    """With status 0, as nobody is connected and no log is open."""
    daemon.done("daemon-timeout", "--timeout", "1")
    assert daemon.side.process.wait(_SECONDS) == 0


@pytest.mark.lengthy
def test_the_number_of_threads_is_that_of_the_reactor(daemon: Host) -> None:
    """A minimum starts them at once, a lower maximum ends them; all servers share them."""
    limits = ("--min-workers", "3", "--max-workers", "4")
    daemon.done("srv-threadpool-set", "virtlogd", *limits)
    info = daemon.done("srv-threadpool-info", "jsonrpc")
    assert "minWorkers     : 3\nmaxWorkers     : 4\nnWorkers       : 3\n" in info
    # (the daemon has others of its own, some of which come and go)
    assert len(list(Path(f"/proc/{daemon.side.process.pid}/task").iterdir())) > 3
    outcome = daemon.virt_admin("srv-threadpool-set", "virtlogd", "--max-workers", "1000000")
    assert "maxWorkers must not be larger than" in outcome.stderr


def test_another_user_is_not_served(daemon: Host) -> None:
    """Not even where the socket's file would let it in."""
    daemon.side.outside(ADMIN_SOCKET).chmod(0o777)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    outcome = daemon.virt_admin(
        "srv-list", uri=f"virtlogd:///system?socket={ADMIN_SOCKET}", through=nobody
    )
    # (virt-admin may be so surprised that a signal ends it)
    assert outcome.status != 0
    assert "virtlogd" not in outcome.stdout
    with daemon.side.connect() as client:
        while "with uid 65534 on admin" not in daemon.side.said.read_text():
            assert answers(client)


def test_log_clients_are_unharmed_by_bad_requests(daemon: Host) -> None:
    """Whatever comes to the admin socket."""
    chance = random.Random(6)
    with daemon.side.connect() as client:
        assert answers(client)
        for procedure in range(-1, 22):
            with admin_socket.connect(daemon.side) as asking:
                for size in (0, 4, 12, 60, 300):
                    data = chance.randbytes(size) if size < 60 else b"\xff" * size
                    asking.send(frame(procedure, data, program=ADMIN_PROGRAM))
                asking.end_input()
                asking.rest()
            assert answers(client)
    assert "Traceback" not in daemon.side.said.read_text()
