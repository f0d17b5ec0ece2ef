"""What test_systemd.py runs under a real systemd: one function for each test."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness.daemon import CHECKOUT
from harness.fuse import Operation
from harness.pass_mount import pass_mount
from tests import documented
from tests.daemon.command.command import AS_NOBODY, install
from tests.documented import Row, row
from tests.documents import blocks, commands, compare, program
from tests.locked_pipe import locked
from tests.stack import guest as boot_sector
from tests.stack.machine import RUN, SETTINGS
from tests.systemd.writers import Guest, lines
from twisted_virtlog.client import BlockingClient, ClientError
from twisted_virtlog.config.paths import default_paths
from twisted_virtlog.daemon.command.outcome import Status
from twisted_virtlog.daemon.descriptor_limit import raise_limit
from twisted_virtlog.syscalls import set_pipe_capacity

PREFIX = Path("/opt/twisted-virtlog")
UNITS = Path("/etc/systemd/system")
LOGS = Path("/var/log/libvirt/qemu")
SERVICE = "virtlogd.service"
SOCKETS = ["virtlogd.socket", "virtlogd-admin.socket", "virtlogd-jsonrpc.socket"]
PATHS = default_paths(0, "/root", {})

#: So large that rotation drops nothing of what a guest writes.
MAX_SIZE = 2_000_000
MAX_BACKUPS = 32
PAUSE_SECONDS = 0.001

#: An access control list, and the place of a user or group where there is none.
ACL = "system.posix_acl_access"
ANY = 0xFFFFFFFF

#: Somebody who is in the group adm.
AN_ORDINARY_USER = [one if one != "--clear-groups" else "--groups=4" for one in AS_NOBODY]

#: The highest that systemd-analyze may say, times 10. (Of @resources, the process that compresses
#: needs two calls, for which all of them count.)
MOST_EXPOSED = 18

_SECONDS = 60.0
_LOCK_SECONDS = 180
_LOOK_SECONDS = 0.01


def install_tools(binaries: Path) -> None:
    """Give the other programs that an environment has."""
    for name, code in {
        "twistd": "from twisted.scripts.twistd import run\nrun()",
        "virtlogctl": "from twisted_virtlog.ctl import main\nmain()",
        "python": "import os, sys\nos.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
    }.items():
        program = binaries / name
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(CHECKOUT)!r})\n{code}\n"
        )
        program.chmod(0o755)


def command(*arguments: str | Path, status: int = 0) -> str:
    """Run a command and give what it says."""
    done = subprocess.run(
        [str(part) for part in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status, (arguments, done.returncode, done.stdout)
    return done.stdout


def show(what: str) -> str:
    """Give a property of the service."""
    return command("systemctl", "show", "-P", what, SERVICE).strip()


def wait_for(condition: Callable[[], bool]) -> None:
    """Look until something holds."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, command("journalctl", "-b", "--no-pager")
        time.sleep(_LOOK_SECONDS)


def stored() -> int:
    """Return how many descriptors the manager has, but for those of what is counted and dropped."""
    return max(0, int(show("NFileDescriptorStore")) - 2)


def installed(*settings: str) -> None:
    """Install the daemon as the documentation says, with more settings of the service."""
    (PREFIX / "bin").mkdir(parents=True)
    install(PREFIX / "bin" / "twisted-virtlogd")
    LOGS.mkdir(parents=True, exist_ok=True)
    config = Path(PATHS.config)
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"max_size = {MAX_SIZE}\nmax_backups = {MAX_BACKUPS}\n")
    units("install", "--prefix", PREFIX)
    if settings:
        directory = UNITS / f"{SERVICE}.d"
        directory.mkdir()
        (directory / "test.conf").write_text("\n".join(["[Service]", *settings, ""]))
    command("systemctl", "daemon-reload")
    command("systemctl", "start", *SOCKETS)


def units(*arguments: str | Path) -> str:
    """Run the command that installs the units."""
    return command(sys.executable, "-m", "twisted_virtlog.systemd", *arguments)


@contextmanager
def client() -> Iterator[BlockingClient]:
    with BlockingClient(PATHS.jsonrpc_socket, _SECONDS) as connected:
        yield connected


def guest(name: str) -> Guest:
    """Open a log and let a guest write into it."""
    path = LOGS / name
    with client() as connected:
        return Guest(connected.open(str(path), "test").write_end, path, PAUSE_SECONDS)


def serves(pid: int) -> bool:
    """Return whether a process answers over JSON-RPC."""
    with suppress(ClientError), client() as connected:
        return connected.info().pid == pid
    return False


def main_pid() -> int:
    return int(show("MainPID"))


def kill(number: int = signal.SIGKILL) -> None:
    """Send a signal to the daemon, and wait until another runs."""
    former = main_pid()
    os.kill(former, number)
    wait_for(lambda: main_pid() not in {0, former} and show("ActiveState") == "active")


def complete(guests: list[Guest]) -> None:
    """Stop the guests, and compare what is in their files with what they wrote."""
    for one in guests:
        if not one.stopped:
            one.stop()

    def are_closed() -> bool:
        with client() as connected:
            return not connected.list()

    wait_for(are_closed)
    mistakes = [mistake for one in guests if (mistake := one.wrong(MAX_BACKUPS))]
    assert not mistakes, mistakes


def activation() -> None:
    """A client's connection starts the daemon, which says when it is ready, and what it does."""
    installed()
    assert show("ActiveState") == "inactive"
    with client() as connected:
        assert connected.info().counts["open_logs"] == 0
    wait_for(lambda: show("ActiveState") == "active")
    assert show("StatusText") == "0 logs open"
    first = guest("first.log")
    wait_for(lambda: show("StatusText") == "1 log open")
    assert stored() == 3
    complete([first])
    wait_for(lambda: show("StatusText") == "0 logs open")
    assert stored() == 2
    for path in (PATHS.log_socket, PATHS.admin_socket, PATHS.jsonrpc_socket):
        assert os.stat(path).st_mode & 0o777 == 0o600
    command("systemctl", "stop", SERVICE)
    assert all(os.path.exists(path) for path in (PATHS.log_socket, PATHS.jsonrpc_socket))
    journal = command("journalctl", "-b", "-u", SERVICE, "--no-pager")
    assert "rror" not in journal, journal


def analysis() -> None:
    """systemd finds nothing wrong with the units, and little exposed."""
    installed()
    names = [UNITS / name for name in [*SOCKETS, SERVICE]]
    assert command("systemd-analyze", "verify", *names) == ""
    threshold = f"--threshold={MOST_EXPOSED}"
    command("systemd-analyze", "security", "--no-pager", threshold, SERVICE)


def attributes() -> None:
    """What an administrator set on a log's file is kept when it is rotated."""
    installed()
    config = Path(PATHS.config)
    config.write_text("max_size = 1000\nmax_backups = 1\n")
    path = LOGS / "kept.log"
    acl = struct.pack(
        "<IHHIHHIHHIHHIHHI", 2, 1, 6, ANY, 2, 4, 1234, 4, 4, ANY, 16, 4, ANY, 32, 0, ANY
    )
    with client() as connected:
        os.close(connected.open(str(path), "test").write_end)
        connected.append(str(path), "x" * 1000)
        os.chown(path, 12, 34)
        os.chmod(path, 0o640)
        supported = True
        try:
            os.setxattr(path, ACL, acl)
        except OSError:
            supported = False
        connected.append(str(path), "next")
    status = path.stat()
    assert status.st_size == 4
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 12, 34)
    assert not supported or os.getxattr(path, ACL) == acl
    journal = command("journalctl", "-b", "-u", SERVICE, "--no-pager")
    assert "does not have" not in journal, journal


def narrowed() -> None:
    """With the drop-in of the documentation, logs below /var/log/libvirt are written.

    And what is known of them is kept, which is elsewhere.
    """
    # (ProtectHome= and PrivateTmp= would hide the interpreter where it is below those)
    installed("ProtectSystem=strict", "ReadWritePaths=/var/log/libvirt /run")
    written = guest("one.log")
    kill()
    complete([written])
    with client() as connected:
        (before,) = connected.boots(str(written.path))
    assert before.closed_at is not None
    kill()
    with client() as connected:
        assert connected.boots(str(written.path)) == [before]
        assert str(written.path) in [log.path for log in connected.list(closed=True)]
    assert os.stat(PATHS.state).st_mode & 0o777 == 0o700


def kills() -> None:
    """Whenever the daemon is killed, no guest notices and no byte is lost."""
    chance = random.Random(4)
    installed()
    guests = [guest(f"{number}.log") for number in range(4)]
    for number in range(int(os.environ["KILLS"])):
        time.sleep(chance.uniform(0, 0.3))
        kill()
        guests.append(guest(f"later{number}.log"))
        # (always as many write)
        guests[number].stop()
    complete(guests)
    assert stored() == 2


def restart() -> None:
    """``systemctl restart`` keeps the logs open; ``stop`` ends them."""
    installed()
    kept = guest("kept.log")
    command("systemctl", "restart", SERVICE)
    assert show("StatusText") == "1 log open"
    complete([kept])
    lost = guest("lost.log")
    command("systemctl", "stop", SERVICE)
    wait_for(lambda: isinstance(lost.failure, BrokenPipeError))


def followed() -> None:
    """``virtlogctl tail -f`` prints each byte once, over restarts, kills and hand-overs."""
    installed()
    install_tools(PREFIX / "bin")
    path = LOGS / "followed.log"
    with client() as connected:
        write_end = connected.open(str(path), "test").write_end
    tail = [PREFIX / "bin" / "virtlogctl", "tail", "-f", "--until-closed", path]
    output = Path("/run/followed")
    with output.open("wb") as printed, subprocess.Popen(tail, stdout=printed) as tailing:

        def follows() -> bool:
            with client() as connected:
                return [log.followers for log in connected.list()] == [1]

        def prints_on() -> None:
            size = output.stat().st_size
            wait_for(lambda: output.stat().st_size > size)

        wait_for(follows)
        written = Guest(write_end, path, PAUSE_SECONDS)
        for _ in range(3):
            prints_on()
            command("systemctl", "restart", SERVICE)
            prints_on()
            kill()
            prints_on()
            with client() as connected:
                connected.reexec()
        prints_on()
        complete([written])
        assert tailing.wait(_SECONDS) == 0
    assert output.read_bytes() == lines(0, written.written)


def locked_pipe() -> None:
    """Guests lock their empty pipes: systemd, which has these too, and the daemon go on."""
    installed()
    paths = [str(LOGS / f"{number}.log") for number in range(4)]
    with client() as connected:
        write_ends = [connected.open(path).write_end for path in paths]
    with ExitStack() as stack:
        for write_end in write_ends:
            stack.enter_context(locked(write_end, _LOCK_SECONDS))
        command("systemctl", "restart", SERVICE)
        kill()
        for left, path in reversed(list(enumerate(paths))[1:]):
            with client() as connected:
                assert connected.position(path).offset == 0
                connected.close_log(path)
            # The daemon closes it last, in a thread: otherwise systemd would wait here.
            wait_for(lambda left=left: stored() == 2 + left)  # type: ignore[misc]
        assert show("ActiveState") == "active"
        with client() as connected:
            connected.open(str(LOGS / "other.log"))
            assert len(connected.list()) == 2


def hung_mount() -> None:
    """systemd starts a daemon beside one that cannot end: no byte is lost or doubled.

    It does so after four times TimeoutStopSec=. Of one that was killed it hears when it is gone.
    """
    installed("TimeoutStopSec=1s")
    os.mknod("/dev/fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
    shown, point = Path("/srv/shown"), Path("/srv/hung")
    for directory in (shown, point):
        directory.mkdir()
    with pass_mount(shown, point) as mount:
        guests = [guest("other.log"), guest(str(point / "guest.log"))]
        for restart in (True, False):
            former = main_pid()
            mount.hold(Operation.WRITE)
            mount.held()
            if restart:
                command("systemctl", "restart", "--no-block", SERVICE)
                wait_for(lambda former=former: main_pid() not in {0, former})  # type: ignore[misc]
                wait_for(lambda: serves(main_pid()))
                with client() as connected:
                    connected.position(str(guests[0].path))
                assert "State:\tZ" in Path(f"/proc/{former}/status").read_text()
            else:
                os.kill(former, signal.SIGKILL)
                wait_for(lambda: "State:\tZ" in Path(f"/proc/{main_pid()}/status").read_text())
                assert (show("ActiveState"), show("SubState")) == ("active", "running")
                assert main_pid() == former
            mount.release()
            wait_for(lambda former=former: main_pid() not in {0, former})  # type: ignore[misc]
            wait_for(lambda: serves(main_pid()))
        complete(guests)


def _stays_ended() -> None:
    """Wait until the service has ended for good, and see that a client's connection starts it."""
    wait_for(lambda: show("ActiveState") == "inactive")
    assert show("ExecMainStatus") == str(Status.NOT_NEEDED.value)
    # (it would be started again after a quarter of a second)
    time.sleep(1)
    assert show("ActiveState") == "inactive"
    assert show("NRestarts") == "0"


def ended() -> None:
    """After the timeout and an administrator's shutdown, nobody but a client starts it again."""
    installed("Environment=VIRTLOGD_ARGS=-t1")
    with client() as connected:
        assert connected.info().counts["open_logs"] == 0
    _stays_ended()
    lost = guest("lost.log")
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(PATHS.admin_socket)
        admin.sendall(struct.pack(">IIIiIIII", 32, 0x06900690, 1, 20, 0, 0, 0, 0))
        assert admin.recv(4096)[24:] == bytes(4)
    # As libvirt's does, it ends with logs open.
    wait_for(lambda: isinstance(lost.failure, BrokenPipeError))
    _stays_ended()
    # A signal is not meant for the guests.
    again = guest("again.log")
    kill(signal.SIGTERM)
    complete([again])


def names() -> None:
    """Tools find the daemon by virtlogd's name, also after it has executed itself anew."""
    installed("Environment=VIRTLOGD_ARGS=-v")
    for _ in range(2):
        with client() as connected:
            pid = str(connected.info().pid)
            assert command("ps", "-C", "virtlogd", "-o", "pid=").split() == [pid]
            assert command("pgrep", "-x", "virtlogd").split() == [pid]
            if shutil.which("pidof"):
                assert command("pidof", "virtlogd").split() == [pid]
            shown = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            assert [one for one in shown if one] == [b"virtlogd", b"-v"]
            assert connected.reexec()


def wrong_file() -> None:
    """A mistake in the file ends no daemon whose store has logs; else the unit fails at once."""
    installed()
    config = Path(PATHS.config)
    good = config.read_text()
    kept = guest("kept.log")
    config.write_text(f"{good}\nmax_clients = many\n")
    kill()
    problem = f"{config}:4: configuration file syntax error: expecting a value"
    wait_for(lambda: problem in show("StatusText"))
    with client() as connected:
        assert connected.info().limits["max_size"] == MAX_SIZE
    kill()
    with client() as connected:
        assert connected.info().limits["max_size"] == MAX_SIZE
    config.write_text(good)
    command("systemctl", "reload", SERVICE)
    wait_for(lambda: show("StatusText") == "1 log open")
    complete([kept])
    command("systemctl", "stop", SERVICE)
    config.write_text("max_clients = many\n")
    command("systemctl", "start", SERVICE, status=1)
    assert show("ActiveState") == "failed"
    assert show("ExecMainStatus") == str(Status.BAD_CONFIGURATION.value)
    assert "expecting a value" in command("journalctl", "-b", "-u", SERVICE, "--no-pager")
    # Clients who wait are no reason to try as fast as it can.
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(PATHS.log_socket)
        wait_for(lambda: show("ActiveState") == "activating")
        first = show("ExecMainStartTimestampMonotonic")
        time.sleep(2)
        assert show("ExecMainStartTimestampMonotonic") == first
    config.write_text(good)
    wait_for(lambda: show("ActiveState") != "activating")
    command("systemctl", "start", SERVICE)


def watchdog() -> None:
    """A daemon that hangs is ended and started anew, and its logs go on."""
    installed("WatchdogSec=1s")
    watched = guest("watched.log")
    # (it pings for longer than its watchdog waits)
    former = main_pid()
    time.sleep(2.5)
    assert main_pid() == former
    kill(signal.SIGSTOP)
    assert "Watchdog timeout" in command("journalctl", "-b", "-u", SERVICE, "--no-pager")
    complete([watched])


def successor() -> None:
    """After the daemon has executed itself anew, the store is as it should be."""
    installed("WatchdogSec=5s")
    guests = [guest("one.log"), guest("two.log")]
    for _ in range(3):
        with client() as connected:
            former = connected.info()
            assert connected.reexec()
            assert connected.info().pid == former.pid
        guests.append(guest(f"{len(guests)}.log"))
    wait_for(lambda: stored() == len(guests) + 2)
    guests.pop(0).stop()
    wait_for(lambda: stored() == len(guests) + 2)
    kill()
    complete(guests)
    assert stored() == 2


def to_virtlogd() -> None:
    """No watchdog ends libvirt's virtlogd when it takes over; when it crashes, we are back."""
    installed("WatchdogSec=1s")
    guests = [guest("one.log"), guest("two.log")]
    with client() as connected:
        former = connected.info().pid
        assert connected.reexec("/usr/sbin/virtlogd")
    time.sleep(2.5)
    assert main_pid() == former
    assert os.readlink(f"/proc/{former}/exe") == "/usr/sbin/virtlogd"
    # What the dead one had written stays, and the rest is in the pipes that systemd keeps.
    kill()
    for one in guests:
        one.stop()
    for one in guests:
        assert one.failure is None
    wait_for(lambda: stored() == 2)


class Pasted:
    """Runs commands of the documents as they stand.

    :ivar rows: which they were.
    :ivar mine: which they should be.
    """

    def __init__(self, who: str) -> None:
        self.rows: set[Row] = set()
        self.mine = documented.rows(who)

    def section(self, document: str, section: str, first: str = "", last: str = "") -> str:
        """Run what somebody is said to run in here of a section; give what the last one says.

        :param first: how the first command begins that is run.
        :param last: how the last one begins.
        """
        run = [
            one
            for one in commands(CHECKOUT / document)
            if one.section == section and row(one) in self.mine
        ]
        while not run[0].text.startswith(first):
            del run[0]
        said = ""
        for one in run:
            as_user = AN_ORDINARY_USER if one.prompt == "$" else ()
            said = command(*as_user, "bash", "-e", "-c", one.text)
            self.rows.add(row(one))
            if last and one.text.startswith(last):
                break
        return said


def documents() -> None:
    """The commands of README.md and doc/ work as written, to our units and back."""
    pasted = Pasted(documented.SYSTEMD)
    # (there is no index of packages in here, so that the environment is made before)
    (PREFIX / "bin").mkdir(parents=True)
    install(PREFIX / "bin" / "twisted-virtlogd")
    install_tools(PREFIX / "bin")
    with open("/etc/passwd", "a") as users:
        users.write("monitor:x:1234:1234::/:/usr/sbin/nologin\n")
    command("systemctl", "start", "virtlogd.socket", "virtlogd-admin.socket", SERVICE)
    former = main_pid()

    def is_libvirts() -> bool:
        assert main_pid() == former
        return Path(os.readlink(f"/proc/{former}/exe")).name.startswith("virtlogd")

    def wait_for_libvirts() -> None:
        wait_for(is_libvirts)
        # (it is killed by a signal that comes before it answers)
        command("virt-admin", "-c", "virtlogd:///system", "srv-list")

    lists = f"{PREFIX}/bin/virtlogctl list"
    use = ("README.md", "Use it under libvirt")
    wait_for_libvirts()
    pasted.section(*use, last="systemctl kill")
    wait_for(lambda: serves(former))
    pasted.section(*use, first=lists, last=lists)
    pasted.section(*use, first="rm ")
    switch = ("doc/handover.md", "From virtlogd, while guests run")
    for back, last in (("rm ", "systemctl kill"), (f"{PREFIX}/bin/virtlogctl reexec", "")):
        wait_for_libvirts()
        pasted.section(*switch, last="systemctl kill")
        wait_for(lambda: serves(former))
        pasted.section(*switch, first=lists, last=lists)
        pasted.section(*switch, first=back, last=last)
    wait_for_libvirts()
    pasted.section(*switch, first="rm ", last="dpkg-divert --remove")

    pasted.section("doc/systemd.md", "Install")
    pasted.section("doc/systemd.md", "Metrics")
    pasted.section("doc/systemd.md", "The read-only socket")
    switch = ("doc/systemd.md", "Switch a host")
    info = pasted.section(*switch, last="virtlogctl info")
    assert f"pid {main_pid()} " in " ".join(info.split())
    _of_a_log(pasted)
    # (which is another release after a downgrade)
    pasted.section("doc/handover.md", "Upgrades and downgrades")
    pasted.section(*switch, first="systemctl stop virtlogd.service virtlogd.socket virtlogd-admin.")
    assert not (UNITS / SERVICE).exists()
    assert pasted.rows == pasted.mine


def by_hand() -> None:
    """The daemon in one terminal and libvirtd in another, as libvirt.md says, and back."""
    (PREFIX / "bin").mkdir(parents=True)
    install_tools(PREFIX / "bin")
    RUN.mkdir()
    console = LOGS / "web-serial0.log"
    for name, settings in SETTINGS.items():
        Path("/etc/libvirt", name).write_text(settings)
    units = [f"libvirtd{kind}" for kind in (".socket", "-ro.socket", "-admin.socket", ".service")]
    units += ["virtlogd.socket", "virtlogd-admin.socket"]
    command("systemctl", "start", *units)
    terminals: list[subprocess.Popen[bytes]] = []
    run = set()
    for one in commands(CHECKOUT / "doc" / "libvirt.md"):
        if row(one) not in documented.rows(documented.BY_HAND):
            continue
        assert one.prompt == "#"
        run.add(row(one))
        if program(one.text) in {"twistd", "libvirtd"}:
            terminals.append(subprocess.Popen(["bash", "-c", f"exec {one.text}"]))
            continue
        if program(one.text) == "virsh":
            wait_for(lambda: subprocess.run(["virsh", "uri"], check=False).returncode == 0)
            wait_for(lambda: serves(terminals[0].pid))
            _define_web()
        elif program(one.text) == "virtlogctl":
            wait_for(lambda: console.read_bytes().endswith(boot_sector.CLOSING))
        elif one.text.startswith("systemctl start virtlogd"):
            command("virsh", "destroy", "web")
            for terminal in terminals:
                terminal.send_signal(signal.SIGINT)
                assert terminal.wait(_SECONDS) == 0
        said = command("bash", "-e", "-c", one.text)
        if one.output:
            compare(one, said.splitlines())
    assert run == documented.rows(documented.BY_HAND)
    for unit in units:
        command("systemctl", "is-active", unit)


def _define_web() -> None:
    """Make a guest that logs its console as the document has it in its XML."""
    (serial,) = (
        "\n".join(block.lines)
        for block in blocks(CHECKOUT / "doc" / "libvirt.md")
        if block.language == "xml"
    )
    disk, definition = Path("/var/lib/libvirt/images/web.img"), Path("/run/web.xml")
    disk.write_bytes(boot_sector.disk(10, boot_sector.End.HALT, 0))
    text = boot_sector.domain("web", disk=disk)
    definition.write_text(text.replace("<memballoon", f"{serial}<memballoon"))
    command("virsh", "define", definition)


def _of_a_log(pasted: Pasted) -> None:
    """Run what the documents do with the logs of a guest named web."""
    serial, own = LOGS / "web-serial0.log", LOGS / "web.log"
    LOGS.mkdir(parents=True, exist_ok=True)
    with client() as connected:
        for path in (serial, own):
            connected.append(str(path), f"This is {path.name}.\n")
    assert pasted.section("doc/jsonrpc.md", "The read-only socket") == "This is web-serial0.log.\n"
    pasted.section("doc/operations.md", "Mode, owner and labels")
    assert (own.stat().st_gid, own.stat().st_mode & 0o777) == (4, 0o640)


def reload() -> None:
    """``systemctl reload`` reads the configuration again, and the service stays active."""
    installed()
    with client() as connected:
        assert connected.info().limits["max_size"] == MAX_SIZE
        Path(PATHS.config).write_text("max_size = 400000\n")
        command("systemctl", "reload", SERVICE)
        wait_for(lambda: connected.info().limits["max_size"] == 400000)
    wait_for(lambda: show("ActiveState") == "active")


def full() -> None:
    """A log for which the store has no room is served, and a warning says what that means."""
    installed("FileDescriptorStoreMax=6", "Environment=FDSTORE=6")
    guests = [guest(f"{number}.log") for number in range(4)]
    # (nor is there room for what is dropped)
    assert stored() == 3
    journal = command("journalctl", "-b", "-u", SERVICE, "--no-pager")
    assert journal.count("store is full") == 1, journal
    guests.pop(0).stop()
    # One of those left out takes its place.
    wait_for(lambda: show("StatusText") == "3 logs open" and stored() == 3)
    complete(guests)


def dropped() -> None:
    """Within its unit's bounds the daemon finds out whether a pipe is full, on a disk that is."""
    installed()
    # (so that services see what is mounted later; systemd does so where it is in no container)
    command("mount", "--make-rshared", "/")
    small = LOGS / "small"
    small.mkdir()
    command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small)
    with client() as connected:
        pipe = connected.open(str(small / "guest.log"), "test").write_end
        set_pipe_capacity(pipe, 16 * 1024)
        for _ in range(100):
            # (a page each: full, this pipe holds half of its bytes)
            os.write(pipe, b"n" * 2099 + b"\n")
        lost = 0
        wait_for(lambda: connected.info().counts["bytes_lost"] > 0)
        while lost != connected.info().counts["bytes_lost"]:
            lost = connected.info().counts["bytes_lost"]
            time.sleep(0.1)
        # As long as there is room, nothing is dropped, however long the guest is silent.
        os.write(pipe, b"n" * 1000)
        time.sleep(0.5)
        assert connected.info().counts["bytes_lost"] == lost
        # A larger disk in its place is found.
        command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small)
        wait_for(lambda: connected.list()[0].state == "open")
    os.close(pipe)
    assert (small / "guest.log").read_bytes().endswith(b"\n" + b"n" * 1000)


def storeless() -> None:
    """Under a unit that keeps nothing, as libvirt's, systemd warns once, however many logs open."""
    installed("FileDescriptorStoreMax=0", "UnsetEnvironment=FDSTORE")
    complete([guest(f"{number}.log") for number in range(5)])
    assert stored() == 0
    journal = command("journalctl", "-b", "--no-pager", "-o", "cat")
    refusals = [line for line in journal.splitlines() if "fd store" in line.lower()]
    assert len(refusals) <= 1, refusals


def many() -> None:
    """Thousands of logs are stored while clients are served, and survive."""
    count = int(os.environ["LOGS"])
    raise_limit()
    installed()
    with client() as connected:
        write_ends = [
            connected.open(str(LOGS / f"{number}.log"), "test").write_end for number in range(count)
        ]
    wait_for(lambda: stored() == count + 2)
    kill()
    for number, write_end in enumerate(write_ends):
        os.write(write_end, b"%d\n" % number)
        os.close(write_end)
    wait_for(lambda: stored() == 2)
    assert all((LOGS / f"{n}.log").read_bytes() == b"%d\n" % n for n in range(count))


def removal() -> None:
    """Uninstalling takes away what was installed and leaves what is somebody else's."""
    installed()
    assert units("uninstall", "--dry-run").count("\n") == len(SOCKETS) + 1
    assert (UNITS / SERVICE).exists()
    units("uninstall")
    assert not list(UNITS.glob("virtlogd*.socket")) + list(UNITS.glob("virtlogd.service"))
    own = UNITS / SERVICE
    own.write_text("[Service]\n")
    refused = [sys.executable, "-m", "twisted_virtlog.systemd", "install", "--prefix", PREFIX]
    assert "was not installed by twisted-virtlog" in command(*refused, status=1)
    assert own.read_text() == "[Service]\n"


if __name__ == "__main__":
    globals()[sys.argv[1]]()
