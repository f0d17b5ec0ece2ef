"""The plugin: options, defaults, the daemon's own log, and how the process starts and ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.application.twist._options import TwistOptions
from twisted.internet.error import ReactorNotRunning
from twisted.scripts._twistd_unix import ServerOptions

from harness.daemon import CHECKOUT, state_dir, wait_until_it_answers
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.daemon.configuration import Configuration, Source
from twisted_virtlog.daemon.plugin import asked, leaves_terminal
from twisted_virtlog.daemon.process import DaemonService
from twisted_virtlog.daemon.startup import Asked
from twisted_virtlog.handover.successor import Successor
from twisted_virtlog.service import Endpoints, IDaemonReactor
from twisted_virtlog.tap import Options, makeService

PATIENCE = 60.0

_RUNNERS = {
    "twistd": ["from twisted.scripts.twistd import run; run()", "--pidfile=", "-n"],
    "twist": ["import sys; from twisted.application.twist._twist import Twist; Twist.main()"],
}

both = pytest.mark.parametrize("runner", _RUNNERS)


class Daemon:
    """A daemon in a directory, with its own log in a file there, under twistd or twist."""

    def __init__(self, directory: Path, runner: str, *settings: str, shell: str = 'exec "$@"'):
        self.directory = directory
        self.socket = directory / "sock"
        self.own_log = directory / "own.log"
        config = directory / "virtlogd.conf"
        own = ["log_level = 1", f'log_outputs = "1:file:{self.own_log}"']
        config.write_text("\n".join([*(settings or own), *state_dir(directory)]))
        code, *options = _RUNNERS[runner]
        command = [sys.executable, "-c", code, *options, "virtlogd", "--config", str(config)]
        command += ["--libvirt", "none", "--admin", "none"]
        command += ["--jsonrpc", f"unix:{self.socket}:mode=600"]
        with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", shell, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT), "LIBVIRT_DEBUG": ""},
            )

    def wait_until_it_answers(self) -> None:
        """Then it has also taken charge of signals."""
        wait_until_it_answers(self.process, self.socket, self.directory / "err")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Give the exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def said(self) -> tuple[str, str]:
        """Give what came to standard output and standard error."""
        return (self.directory / "out").read_text(), (self.directory / "err").read_text()


StartDaemon = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartDaemon]:
    """Start daemons, each in a directory of its own; none is left in the end."""
    with ExitStack() as stack:

        def one(runner: str, *settings: str, shell: str = 'exec "$@"') -> Daemon:
            directory = tmp_path / f"daemon{len(list(tmp_path.iterdir()))}"
            directory.mkdir()
            daemon = Daemon(directory, runner, *settings, shell=shell)
            stack.callback(daemon.process.wait, PATIENCE)
            stack.callback(daemon.process.kill)
            return daemon

        yield one


# As a process.


@pytest.mark.lengthy
@both
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_logs_where_it_is_told_and_ends_with_status_0(
    start: StartDaemon, runner: str, number: int
) -> None:
    """Nowhere else; twist has a log of its own besides, for what is a warning at least."""
    daemon = start(runner)
    daemon.wait_until_it_answers()
    assert daemon.end(number) == 0
    own_log = daemon.own_log.read_text()
    assert own_log.count("jsonrpc: listening on unix:") == 1
    assert "Main loop terminated" in own_log
    assert daemon.own_log.stat().st_mode & 0o777 == 0o600
    out, err = daemon.said()
    assert err == ""
    assert out == ""


def test_by_default_it_is_quiet(start: StartDaemon) -> None:
    """Without configuration it tells warnings and errors alone, so all well is silence."""
    daemon = start("twistd", "# nothing")
    daemon.wait_until_it_answers()
    assert daemon.end() == 0
    assert daemon.said() == ("", "")


def test_it_starts_without_standard_input(start: StartDaemon) -> None:
    """Which some supervisors close."""
    daemon = start("twistd", "# nothing", shell='exec "$@" <&-')
    daemon.wait_until_it_answers()
    assert daemon.end() == 0
    assert daemon.said() == ("", "")


def test_warnings_of_the_configuration_are_in_the_log(start: StartDaemon) -> None:
    """A key that does not exist does not stop the daemon, but is told."""
    daemon = start("twistd", "max_cleints = 5", 'log_outputs = "1:stderr"')
    daemon.wait_until_it_answers()
    assert daemon.end() == 0
    out, err = daemon.said()
    assert out == ""
    (line,) = err.splitlines()
    assert " : configuration : " in line
    assert ": warning :" in line
    assert line.endswith("virtlogd.conf:1: max_cleints: no such key; it has no effect")


@pytest.mark.lengthy
@both
def test_why_it_does_not_start_is_told_to_the_user_and_to_the_log(
    start: StartDaemon, runner: str
) -> None:
    """One line each, not a traceback."""
    first = start(runner)
    first.wait_until_it_answers()
    second = start(
        runner,
        f'log_outputs = "1:file:{first.directory}/second.log"',
        shell=f'for last; do :; done; exec "$@" --jsonrpc unix:{first.socket}',
    )
    assert second.process.wait(PATIENCE) == 1
    reason = f"cannot listen on {first.socket}: process {first.process.pid} ("
    _, err = second.said()
    assert err.startswith(f"virtlogd: {reason}")
    assert err.count("\n") == 1
    (line,) = (first.directory / "second.log").read_text().splitlines()
    assert f": error : daemon : {reason}" in line
    assert first.end() == 0


def test_why_it_does_not_start_is_told_once_on_standard_error(start: StartDaemon) -> None:
    """When the log goes there too."""
    daemon = start("twistd", 'log_outputs = "4:stderr"', shell='exec "$@" --jsonrpc unix:/no/dir')
    assert daemon.process.wait(PATIENCE) == 1
    out, err = daemon.said()
    assert out == ""
    (line,) = err.splitlines()
    assert ": error : " in line
    assert "/no/dir" in line


@pytest.mark.lengthy
@both
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            "max_size = 2M",
            "virtlogd.conf:1: configuration file syntax error: expecting a separator",
        ),
        ('log_outputs = "1:file:/no/dir"', "failed to open /no/dir: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(start: StartDaemon, runner: str, settings: str, reason: str) -> None:
    """On standard error, with status 1."""
    daemon = start(runner, settings)
    assert daemon.process.wait(PATIENCE) == 1
    out, err = daemon.said()
    assert out == ""
    assert err.startswith("virtlogd: ")
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.lengthy
@pytest.mark.parametrize("options", [[], ["-n"]], ids=["background", "foreground"])
@pytest.mark.parametrize("output", ["stderr", "file:own.log"])
def test_a_start_that_fails_under_twistd_ends_with_the_reason(
    tmp_path: Path, options: list[str], output: str
) -> None:
    """On standard error, with status 1 and without a pid file, also in the background."""
    config = tmp_path / "virtlogd.conf"
    config.write_text(f'log_outputs = "1:{output}"\n')
    missing = tmp_path / ("a-directory-that-does-not-exist" * 5)
    code = _RUNNERS["twistd"][0]
    command = [sys.executable, "-c", code, *options, "--pidfile=pid", "virtlogd"]
    command += ["--config", str(config), "--libvirt=none", "--admin=none"]
    run = subprocess.run(
        [*command, f"--jsonrpc=unix:{missing}/sock"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=PATIENCE,
        cwd=tmp_path,
    )
    assert run.returncode == 1
    assert f"cannot listen on 'unix:{missing}/sock': the path is too long" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "pid").exists()


@pytest.mark.lengthy
def test_in_the_background_it_goes_on_logging(tmp_path: Path) -> None:
    """twistd without -n starts it, and its log stays open when it has left the terminal."""
    config = tmp_path / "virtlogd.conf"
    own = ["log_level = 2", f'log_outputs = "1:file:{tmp_path}/own.log"']
    config.write_text("\n".join([*own, *state_dir(tmp_path)]))
    code = _RUNNERS["twistd"][0]
    pid_file = tmp_path / "pid"
    command = [sys.executable, "-c", code, f"--pidfile={pid_file}", "virtlogd"]
    command += ["--config", str(config), "--libvirt", "none", "--admin", "none"]
    command += ["--jsonrpc", f"unix:{tmp_path}/sock"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    # twistd comes back when the service is started.
    subprocess.run(command, check=True, env=environment, timeout=PATIENCE, cwd=tmp_path)
    with BlockingClient(f"{tmp_path}/sock") as client:
        pid = client.info().pid
    assert int(pid_file.read_text()) == pid
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    assert select.select([ended], [], [], PATIENCE)[0]
    os.close(ended)
    assert "Server Shut Down" in (tmp_path / "own.log").read_text()
    assert not (tmp_path / "twistd.log").exists()
    assert not pid_file.exists()


@both
def test_the_help_tells_options_and_defaults(runner: str) -> None:
    """Each option with its meaning, and where things are by default; no empty defaults."""
    code, *options = _RUNNERS[runner]
    run = subprocess.run(
        [sys.executable, "-c", code, *options, "virtlogd", "--help"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "80"},
        check=True,
    )
    for part in ("--config=", "--jsonrpc=", "--libvirt=", "--admin=", "/etc/libvirt/virtlogd.conf"):
        assert part in run.stdout
    assert "[default: ]" not in run.stdout
    assert run.stderr == ""


# Without one.


class StoppedReactor:
    """A reactor that is told to stop, and after that cannot be."""

    stopped = False

    def stop(self) -> None:
        if self.stopped:
            raise ReactorNotRunning
        self.stopped = True


def test_a_second_signal_is_no_error(tmp_path: Path) -> None:
    """While the daemon waits for clients to read their answers, it may be told to end again."""
    reactor = StoppedReactor()
    service = DaemonService(
        Configuration(Source(str(tmp_path / "none"), False, {})),
        Endpoints(),
        cast(IDaemonReactor, reactor),
        cast(Successor, None),
    )
    service._stop()
    assert reactor.stopped
    service._stop()


def _options(*arguments: str) -> Options:
    options = Options()  # type: ignore[no-untyped-call]  # Twisted's has no types
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]  # Neither has this
    return options


def test_options_name_endpoints_by_server() -> None:
    """What is not named is chosen later."""
    assert asked(_options()) == Asked()
    named = ["--config", "c", "--libvirt", "none", "--admin", "/a", "--jsonrpc-ro", "/b"]
    named += ["--metrics", "/m"]
    assert asked(_options(*named)) == Asked(
        "c", {"virtlogd": "none", "admin": "/a", "jsonrpc-ro": "/b", "metrics": "/m"}
    )


@pytest.mark.parametrize(
    ("runner", "arguments", "leaves"),
    [
        (ServerOptions, ["virtlogd"], True),
        (ServerOptions, ["-n", "virtlogd"], False),
        (TwistOptions, ["virtlogd"], False),
    ],
)
def test_only_twistd_goes_to_the_background(
    runner: Callable[[], Any], arguments: list[str], leaves: bool
) -> None:
    """Unless it is told not to; twist never does."""
    options = runner()
    options.parseOptions(arguments)
    assert leaves_terminal(options.subOptions) is leaves


def test_a_user_without_home_directory_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon does not start, and says why in a line."""

    def no_home(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(no_home))
    with pytest.raises(SystemExit) as caught:
        makeService(_options())
    assert caught.value.code == "virtlogd: Could not determine home directory."


def test_the_options_do_not_wait_for_the_daemon() -> None:
    """It is imported with the service, without a search for garbage; later there is one as ever."""
    program = (
        "import gc, sys\n"
        "from twisted_virtlog.tap import Options, makeService\n"
        "print('twisted_virtlog.service' in sys.modules)\n"
        "options = Options()\n"
        "options.parseOptions(['--check', '--config', '/dev/null'])\n"
        "searches = []\n"
        "gc.callbacks.append(lambda phase, info: searches.append(phase))\n"
        "try:\n"
        "    makeService(options)\n"
        "except SystemExit as ended:\n"
        "    print(ended, searches)\n"
        "print('twisted_virtlog.service' in sys.modules, gc.isenabled())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    said = subprocess.run(
        # (what the daemon says does not go through Python's buffer)
        [sys.executable, "-u", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment,
    )
    first, *_, ended, last = said.stdout.splitlines()
    assert (first, ended, last) == ("False", "0 []", "True True")
