"""The commands of README.md and doc/*.md do what the documents say when they are pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.daemon import running
from tests.documents import CHECKOUT, DOCUMENTS, Command, commands

#: What is run elsewhere, or cannot be run in a test, and why.
ELSEWHERE = {
    ("README.md", "Five minutes", "make run"): ".ci/run does, as an ordinary user",
    ("README.md", "The promise", "make stress"): "takes many minutes; test_daemon.py runs a part",
    ("README.md", "Use it under libvirt", "*"): "tests/systemd/test_systemd.py runs them",
    (
        "handover.md",
        "*",
        "*",
    ): "test_systemd.py runs the switch; a downgrade needs the release before",
    ("client.md", "With Twisted", "*"): "tests/client/test_documentation.py runs its program",
    ("systemd.md", "*", "*"): "tests/systemd/test_systemd.py runs them",
    ("jsonrpc.md", "*", "*"): "tried by hand; test_documentation.py compares names",
    (
        "libvirt.md",
        "*",
        "*",
    ): "needs a guest; tests/stack/test_stack.py starts one",
}

_FIGURE = re.compile(r"[0-9]+|h1\.[\w-]+|\(\w+\)")
_POSITION = re.compile(r"[0-9]+:3:h1\.[\w-]+")


def _elsewhere(command: Command) -> bool:
    return any(
        document == command.document
        and section in ("*", command.section)
        and text in ("*", command.text)
        for document, section, text in ELSEWHERE
    )


def test_every_command_is_run_or_named() -> None:
    """A command in a document without a row in the table above is one that is run here."""
    found = [command for document in DOCUMENTS for command in commands(document)]
    assert len(found) > 30
    unknown = [one for one in found if one.section != "Five minutes" and not _elsewhere(one)]
    assert unknown == []


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Give a shell beside a daemon."""
    with running(tmp_path / "daemon") as daemon:
        shell = Shell(tmp_path, daemon.socket)
        yield shell
        shell.close()


class Shell:
    """Bash in the checkout, as somebody has it who pastes the README's commands one by one."""

    def __init__(self, directory: Path, socket: str) -> None:
        self._directory = directory
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "VIRTLOGCTL_SOCKET": socket, "PATH": path, "LC_ALL": "C.UTF-8"}
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env=environment,
            text=True,
        )

    def run(self, text: str) -> list[str]:
        """Run a command, with a directory of its own for /tmp; return what it prints."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        text = text.replace("/tmp/", f"{self._directory}/")
        self._bash.stdin.write(f"{text}\nstatus=$?; echo; echo @@@ $status\n")
        self._bash.stdin.flush()
        printed: list[str] = []
        for line in self._bash.stdout:
            if line.startswith("@@@ "):
                assert line == "@@@ 0\n", (text, printed)
                break
            printed.append(line.rstrip("\n").replace(f"{self._directory}/", "/tmp/"))
        return printed[:-1] if printed[-1:] == [""] else printed

    def close(self) -> None:
        """End the shell and what it started."""
        assert self._bash.stdin is not None
        self._bash.stdin.write("kill $(jobs -p)\n")
        self._bash.stdin.close()
        self._bash.wait(60)
        assert self._bash.stdout is not None
        self._bash.stdout.close()


def _shape(line: str) -> str:
    """Return a line without what differs each time: numbers, births, programs and widths."""
    return " ".join(_FIGURE.sub("N", line).split())


@pytest.mark.socat
def test_the_readme_s_five_minutes(shell: Shell) -> None:
    """Each command succeeds and prints what the README shows, but for figures."""
    position = None
    shown = [one for one in commands(CHECKOUT / "README.md") if one.section == "Five minutes"]
    assert len(shown) >= 12
    for command in shown:
        if _elsewhere(command):
            continue
        text = command.text if position is None else _POSITION.sub(position, command.text)
        printed = shell.run(text)
        if text.startswith("virtlogctl list"):
            # What runs in the background has begun when it is listed.
            while (found := _POSITION.search("".join(printed))) is None:
                printed = shell.run(text)
            position = found[0]
        if text.startswith("ls "):
            names = (
                [line.split()[-1] for line in printed],
                [line.split()[-1] for line in command.output],
            )
            assert names[0] == names[1]
        elif not text.startswith("virtlogctl list"):
            assert [*map(_shape, printed)] == [*map(_shape, command.output)], text
        else:
            assert [line.split()[:5] for line in map(_shape, printed)] == [
                line.split()[:5] for line in map(_shape, command.output)
            ]
