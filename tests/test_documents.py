"""The commands of README.md and doc/*.md do what the documents say when they are pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest

from harness.daemon import running
from tests import documented
from tests.documents import (
    BIRTH,
    CHECKOUT,
    CONSOLE,
    DOCUMENTS,
    Block,
    Command,
    blocks,
    commands,
    compare,
    program,
    shape,
    trimmed,
    unprompted,
)
from twisted_virtlog.client import BlockingClient, LogInfo

#: Programs that a document may come to speak of, beside those that it does.
_PROGRAMS = (
    *("apt", "apt-get", "bash", "cd", "cp", "export", "journalctl", "kill", "mv", "nc", "pip"),
    *("ps", "python", "qemu-system-x86_64", "service", "sh", "socat", "sudo", "twist", "twistd"),
    *("twisted-virtlogd", "umount", "virtlogd"),
)

#: The sections, or whole documents, whose commands are run here.
HERE = (
    ("README.md", "Five minutes"),
    ("client.md", "With Twisted"),
    ("handover.md", "SIGUSR1: the next image takes over"),
    ("jsonrpc.md", None),
    ("operations.md", "Account for every byte"),
    ("operations.md", "Search in logs"),
    ("operations.md", "What is held for consumers"),
    ("operations.md", "Watch a log, and wait for a line"),
    ("operations.md", "What is kept beside the logs"),
    ("operations.md", "See which guests print most"),
    ("operations.md", "Metrics"),
)

_POSITION = re.compile(rf"[0-9]+:3:{BIRTH}")


def _path(document: str) -> Path:
    (path,) = (one for one in DOCUMENTS if one.name == document)
    return path


def _here(document: str, section: str | None) -> list[Command]:
    """Give the commands that are run here: those that have no row in documented.py."""
    others = documented.rows()
    found = [
        one
        for one in commands(_path(document))
        if section in (None, one.section) and documented.row(one) not in others
    ]
    assert found
    return found


def test_every_command_is_run_or_named() -> None:
    """A command that is not run here has a row in documented.py, which has no row too many."""
    found = {documented.row(one) for document in DOCUMENTS for one in commands(document)}
    here = {documented.row(one) for place in HERE for one in _here(*place)}
    assert len(found) > 80
    assert found - here - documented.rows() == set()
    assert documented.rows() - found == set()


def test_every_command_has_a_prompt() -> None:
    """No block but those that are looked into has a line that seems to be a command."""
    known = {*_PROGRAMS, *(program(one.text) for path in DOCUMENTS for one in commands(path))}
    every = [block for document in DOCUMENTS for block in blocks(document)]
    assert len(every) > 70
    suspicious = [(block.document, one) for block in every for one in unprompted(block, known)]
    # This is no command, but says how one is made up.
    synopsis = (
        "twistd --pidfile= -n virtlogd [--config FILE] [--jsonrpc ENDPOINT] [--jsonrpc-ro ENDPOINT]"
    )
    assert suspicious == [("operations.md", synopsis)]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("", "make run"),
        ("", "$ make run"),
        ("", "# anything at all"),
        ("text", "KEY=value /usr/bin/make run"),
        ("sh", "anything at all"),
        ("console", "make run"),
    ],
)
def test_a_command_without_a_prompt_is_seen(language: str, line: str) -> None:
    """Whatever kind of block it stands in."""
    lines = ("$ true", line) if language == CONSOLE else (line,)
    assert unprompted(Block("a.md", "", language, lines), ["make"]) == [line]


def test_blocks_and_commands_are_found(tmp_path: Path) -> None:
    """Behind fences and indented, in lists too; output has empty lines, commands go on."""
    document = tmp_path / "a.md"
    document.write_text(_DOCUMENT)
    found = [(one.section, one.language, one.lines) for one in blocks(document)]
    assert found == [
        ("", "", ("indented", "", "more")),
        ("One", "console", ("# one |", "    two", "1", "", "2", "", "$ three", "")),
        ("One", "", ("in a list",)),
        ("Two", "console", ("$ four",)),
    ]
    assert [*commands(document)] == [
        Command("a.md", "One", "#", "one |\ntwo", ("1", "", "2")),
        Command("a.md", "One", "$", "three", ()),
        Command("a.md", "Two", "$", "four", ()),
    ]


_DOCUMENT = """\
Text
    that goes on.

    indented

    more

# One

```console
# one |
    two
1

2

$ three

```

- item

      in a list

## Two

1. item

   ```console
   $ four
   ```
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Give a shell beside a daemon."""
    with running(tmp_path / "daemon") as daemon:
        shell = Shell(tmp_path, daemon.socket)
        yield shell
        shell.close()


#: A guest in the background, whose output the next commands watch.
_GUEST = re.compile(r"virtlogctl exec (?P<log>/tmp/\S+) -- sh -c '(?P<prints>[^']*)' &")
#: What a guest of a log waits for.
_GOES_ON = ".goes-on"
_UNTIL_CLOSED = re.compile(r"virtlogctl tail -f --until-closed (?P<log>/tmp/\S+)")


class Shell:
    """Bash, as somebody has it who pastes the commands of a document one by one.

    :ivar directory: what it has for ``/tmp``.
    """

    def __init__(self, directory: Path, socket: str) -> None:
        self.directory = directory
        self._daemon = socket
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"VIRTLOGCTL_SOCKET": socket, "PYTHONPATH": str(CHECKOUT), "PATH": path}
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env={**os.environ, **own, "LC_ALL": "C.UTF-8"},
            text=True,
        )

    def run(self, text: str) -> list[str]:
        """Run a command that succeeds; return what it prints."""
        self._begin(text)
        return self._end(text)

    def _begin(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{self.inside(text)}\nstatus=$?; echo; echo @@@ $status\n")
        self._bash.stdin.flush()

    def _end(self, text: str) -> list[str]:
        assert self._bash.stdout is not None
        printed: list[str] = []
        for line in self._bash.stdout:
            if line.startswith("@@@ "):
                assert line == "@@@ 0\n", (text, printed)
                return trimmed(printed)
            printed.append(line.rstrip("\n").replace(f"{self.directory}/", "/tmp/"))
        raise AssertionError((text, printed))

    def run_in_turn(self, text: str, held: Collection[str]) -> list[str]:
        """Run a command, however slow this machine is.

        A guest of a log that is held is there before the next command begins, and stays until it is
        followed to its end; by itself it would be gone after a second.
        """
        guest, follower = _GUEST.fullmatch(text), _UNTIL_CLOSED.fullmatch(text)
        if guest is not None and guest["log"] in held:
            os.mkfifo(self._fifo(guest["log"]))
            waits = f"{guest['prints']}; read _ < {guest['log']}{_GOES_ON}"
            printed = self.run(text.replace(guest["prints"], waits))
            self._until(guest["log"], lambda log: True)
            return printed
        if follower is None:
            return self.run(text)
        self._begin(text)
        self._until(follower["log"], lambda log: log.followers == 1)
        with self._fifo(follower["log"]).open("w"):
            """It goes on, as nobody has the other end any more."""
        return self._end(text)

    def _fifo(self, log: str) -> Path:
        return Path(f"{self.inside(log)}{_GOES_ON}")

    def _until(self, path: str, is_so: Callable[[LogInfo], bool]) -> None:
        """Wait until something is true of an open log."""
        with BlockingClient(self._daemon, 60.0) as client:
            while not any(one.path == self.inside(path) and is_so(one) for one in client.list()):
                """Each answer takes a turn of the daemon's reactor."""

    def save(self, name: str, document: str, section: str) -> None:
        """Put a section's program in Python into a file, and go where that is."""
        found = [
            block.lines
            for block in blocks(_path(document))
            if (block.section, block.language) == (section, "python")
        ]
        text = "\n".join([*found[0], ""])
        (self.directory / name).write_text(self.inside(text))
        self.run("cd /tmp/")

    def inside(self, text: str) -> str:
        """Return a text with the shell's own directory for ``/tmp``."""
        return text.replace("/tmp/", f"{self.directory}/")

    def close(self) -> None:
        """End the shell and what it started."""
        assert self._bash.stdin is not None
        self._bash.stdin.write("kill $(jobs -p)\n")
        self._bash.stdin.close()
        self._bash.wait(60)
        assert self._bash.stdout is not None
        self._bash.stdout.close()


def _followed_to_the_end(found: Sequence[Command]) -> set[str]:
    """Return the logs that commands follow until their guests are gone."""
    return {match["log"] for one in found if (match := _UNTIL_CLOSED.fullmatch(one.text))}


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "section",
    ["Watch a log, and wait for a line", "What is kept beside the logs", "Search in logs"],
)
def test_what_was_said_is_found(shell: Shell, section: str) -> None:
    """Each command prints what the document shows."""
    found = _here("operations.md", section)
    for command in found:
        compare(command, shell.run_in_turn(command.text, _followed_to_the_end(found)))


@pytest.mark.lengthy
def test_a_table_of_rates(shell: Shell) -> None:
    """It is as the document shows it, but for figures."""
    for command in _here("operations.md", "See which guests print most"):
        printed = shell.run(command.text)
        # What runs in the background has begun when it has a rate.
        while command.output and not (printed[2:] and printed[2].split()[0].isdecimal()):
            printed = shell.run(command.text)
        compare(command, printed)


#: What differs in an answer, in JSON or as Python shows it.
_MEMBER = re.compile(
    r"""["'](birth|connected_at|gid|group|inode|pid|started_at|uid|uptime_s|user|version)["']: ?"""
    r"""(?:"[^"]*"|'[^']*'|[\d.]+|null)"""
)
_CLIENT = re.compile(r'"id":\d+,(?=connected_at)')


def _answer(line: str) -> str:
    """Return a line without what differs in answers over JSON-RPC."""
    return _CLIENT.sub("", _MEMBER.sub(r"\1", line))


@pytest.mark.lengthy
@pytest.mark.socat
def test_the_readme_s_five_minutes(shell: Shell) -> None:
    """Each command succeeds and prints what the README shows, but for figures."""
    position = None
    found_here = _here("README.md", "Five minutes")
    held = _followed_to_the_end(found_here)
    for command in found_here:
        text = command.text if position is None else _POSITION.sub(position, command.text)
        printed = shell.run_in_turn(text, held)
        if text.startswith("virtlogctl list"):
            # What runs in the background has begun when it is listed.
            while (found := _POSITION.search("".join(printed))) is None:
                printed = shell.run(text)
            position = found[0]
            # (who holds the log is listed as far as they have begun)
            compare(command, printed, lambda line: " ".join(shape(line).split()[:5]))
        elif text.startswith("ls "):
            compare(command, printed, lambda line: line.split()[-1])
        else:
            compare(command, printed)


@pytest.mark.lengthy
@pytest.mark.socat
@pytest.mark.curl
@pytest.mark.jq
def test_the_examples_of_jsonrpc(shell: Shell) -> None:
    """In one shell, one after another, each is answered as the document says."""
    shell.save("descriptors.py", "jsonrpc.md", "File descriptors")
    for command in _here("jsonrpc.md", None):
        compare(command, shell.run(command.text), _answer)


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "place",
    [
        ("handover.md", "SIGUSR1: the next image takes over"),
        ("operations.md", "Account for every byte"),
        ("operations.md", "Metrics"),
    ],
)
def test_single_commands(shell: Shell, place: tuple[str, str]) -> None:
    """They print what their documents show, but for figures."""
    for command in _here(*place):
        compare(command, shell.run(command.text))


@pytest.mark.lengthy
def test_the_client_in_twisted(shell: Shell) -> None:
    """Its program runs as the document runs it."""
    shell.save("example.py", "client.md", "With Twisted")
    for command in _here("client.md", "With Twisted"):
        compare(command, shell.run(command.text), str)
