"""The command beside the real virtlogd: the same command lines, and what came of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.command.command import Said, User, install, until

pytestmark = pytest.mark.libvirt

NewUser = Callable[[str], User]


@pytest.fixture
def both(new_user: NewUser, directory: Path) -> tuple[User, User]:
    """A user of each daemon."""
    theirs = shutil.which("virtlogd", path="/usr/sbin")
    assert theirs is not None
    return new_user(str(install(directory / "twisted-virtlogd"))), new_user(theirs)


#: With what each says on standard output and standard error: "" is nothing, "+" anything.
_ENDING = {
    "-V": (0, "+", ""),
    "--version -x": (0, "+", ""),
    "-dvV": (0, "+", ""),
    "here -V": (0, "+", ""),
    "-h": (0, "", "+"),
    "--he": (0, "", "+"),
    "-h --bad": (0, "", "+"),
    "-x": (1, "", "invalid option -- 'x'"),
    "-x -V": (1, "", "invalid option -- 'x'"),
    "--bad": (1, "", "unrecognized option '--bad'"),
    "--bad=5": (1, "", "unrecognized option '--bad=5'"),
    "--ver": (1, "", "option '--ver' is ambiguous; possibilities: '--verbose' '--version'"),
    "--daemon=1": (1, "", "option '--daemon' doesn't allow an argument"),
    "-f": (1, "", "option requires an argument -- 'f'"),
    "-dp": (1, "", "option requires an argument -- 'p'"),
    "--time": (1, "", "option '--timeout' requires an argument"),
    "-t -1": (1, "", "+"),
    "-t x": (1, "", "+"),
    "-t 2147484": (1, "", "+"),
    "--timeout=": (1, "", "+"),
    "-t x -V": (1, "", "+"),
    "-f /no/file": (1, "", "+"),
    "-d -f /no/file": (1, "", "+"),
    "--config=": (1, "", "+"),
    "-p /no/file": (1, "", "+"),
    "-d -p /no/file": (1, "", "+"),
    "-p .": (1, "", "+"),
}


@pytest.mark.lengthy
@pytest.mark.parametrize("arguments", _ENDING)
def test_it_ends_as_virtlogd_does(both: tuple[User, User], arguments: str) -> None:
    """The same status, the same streams, and getopt_long's words."""
    status, output, error = _ENDING[arguments]
    for user in both:
        said = user.run(*arguments.split())
        assert (said.status, bool(said.output), bool(said.error)) == (
            status,
            bool(output),
            bool(error),
        ), said
        if error not in {"", "+"}:
            assert said.error.splitlines()[0].endswith(f"virtlogd: {error}")
        assert not user.socket.exists()
    ours, theirs = (user.files() for user in both)
    assert ours == theirs, said


def test_the_version_has_the_same_form(both: tuple[User, User]) -> None:
    """A name, a project, a version."""
    for user in both:
        assert re.fullmatch(r"\S*virtlogd \(\S+\) [\d.]+\S*\n", user.run("-V").output)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    ["-p mine.pid -t 1", "-t1", "--timeout 1x -- -t 50", "-t 1 -p ''", "-dt1"],
)
def test_it_starts_and_ends_as_virtlogd_does(both: tuple[User, User], arguments: str) -> None:
    """With the same files; in the end with none of them."""
    words = [word.replace("''", "") for word in arguments.split()]
    seen, outcomes = [], []
    for user in both:
        process = user.start(*words)
        # It stays while somebody is connected.
        with user.connect():
            pid_files = [user.directory / file for file in user.files() if file.endswith(".pid")]
            seen.append(
                (
                    [(file.name, file.stat().st_mode) for file in pid_files],
                    [file.read_text().isdigit() for file in pid_files],
                    user.run_directory.stat().st_mode,
                    user.socket.stat().st_mode,
                )
            )
        output, error = process.communicate(timeout=60)
        until(lambda user=user: not user.pid_file.exists() and not user.socket.exists())
        outcomes.append((Said(process.returncode, output, error), _without_log(user.files())))
    assert seen[0] == seen[1]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == Said(0, "", "")


def _without_log(files: list[str]) -> list[str]:
    """Leave out a daemon's own log, which is not there when a journal is."""
    return [file for file in files if not file.startswith(".cache")]


@pytest.mark.lengthy
def test_a_second_daemon_is_refused_by_the_pid_file_of_the_other_kind(
    both: tuple[User, User],
) -> None:
    """Each holds the lock that the other one looks for."""
    ours, theirs = both
    for holder, other in ((ours, theirs), (theirs, ours)):
        pid_file = holder.directory / "common.pid"
        process = holder.start("-p", str(pid_file))
        holder.wait_until_it_serves()
        said = other.run("-p", str(pid_file))
        assert said.status == 1
        reason = f"Failed to acquire pid file '{pid_file}': Resource temporarily unavailable"
        assert reason in said.error
        assert pid_file.read_text() == str(process.pid)
        process.terminate()
        assert process.wait(60) == 0
        assert not pid_file.exists()


def test_a_stale_pid_file_is_no_obstacle(both: tuple[User, User]) -> None:
    """What it says does not matter."""
    for user in both:
        stale = user.directory / "stale.pid"
        stale.write_text("1234567 and more")
        stale.chmod(0o666)
        process = user.start("-p", str(stale))
        user.wait_until_it_serves()
        assert stale.read_text() == str(process.pid)
        process.terminate()
        assert process.wait(60) == 0
        assert not stale.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "status"), [([], 6), (["-d"], 1)])
def test_a_socket_that_cannot_be_bound_has_its_status(
    both: tuple[User, User], arguments: list[str], status: int
) -> None:
    """In the background all failures are 1."""
    for user in both:
        assert user.run("-t", "1").status == 0
        user.socket.mkdir()
        said = user.run(*arguments)
        assert said.status == status
        assert said.error
        assert not user.pid_file.exists()
