"""What doc/fleet.md shows can be pasted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon
from tests.documented import FLEET, row, rows
from tests.documents import blocks, commands
from tests.ship.processes import SECONDS, free_port

_DOCUMENT = CHECKOUT / "doc" / "fleet.md"
_SECTION = "Five minutes"
_CONFIGURATION = (_SECTION, "toml")
_PROGRAM = ("Reading", "python")
_PORT = "4222"

pytestmark = [pytest.mark.nats, pytest.mark.lengthy]


class Shell:
    """Runs commands in a directory of its own, with a daemon and a port of their own."""

    def __init__(self, directory: Path, daemon: Daemon) -> None:
        self._directory = directory
        self._daemon = daemon
        self._port = free_port()
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin"
        programs = directory / "programs"
        programs.mkdir()
        for name, module in (
            ("virtlog-ship", "ship.program"),
            ("virtlog-fleet", "fleet.program"),
            ("virtlogctl", "ctl"),
        ):
            # (the checkout's, not those that are installed)
            program = programs / name
            call = f"from twisted_virtlog.{module} import main; main()"
            program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{call}' \"$@\"\n")
            program.chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{programs}:{path}",
            "PYTHONPATH": str(CHECKOUT),
            "VIRTLOG_FLEET_SERVER": f"nats://127.0.0.1:{self._port}",
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def save(self, name: str, lines: list[str]) -> None:
        """Put a block into a file."""
        text = self._here("\n".join([*lines, ""]))
        if name.endswith(".toml"):
            text = f'socket = "{self._daemon.socket}"\n{text}'
        (self._directory / name).write_text(text)

    def run(self, text: str) -> str:
        """Run a command, or begin one that goes on; return what it printed."""
        if text.endswith("&"):
            with (self._directory / "output").open("ab") as output:
                self._started.append(
                    subprocess.Popen(
                        f"exec {self._here(text.rstrip(' &'))}",
                        shell=True,
                        cwd=self._directory,
                        env=self._environment,
                        stdout=output,
                        stderr=output,
                    )
                )
            return ""
        done = subprocess.run(
            self._here(text),
            shell=True,
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def output(self) -> str:
        """Return what those have printed that go on."""
        return (self._directory / "output").read_text()

    def _here(self, text: str) -> str:
        text = text.replace("/tmp/", f"{self._directory}/")
        text = text.replace("--addr 127.0.0.1", f"--addr 127.0.0.1 --port {_PORT}")
        text = text.replace("virtlogctl ", f"virtlogctl --socket {self._daemon.socket} ")
        return text.replace(f" {_PORT}", f" {self._port}").replace(f":{_PORT}", f":{self._port}")

    def close(self) -> None:
        """End what was started."""
        for process in reversed(self._started):
            process.terminate()
            process.wait(SECONDS)


@pytest.fixture
def shell(tmp_path: Path, daemon: Daemon) -> Iterator[Shell]:
    """Have one."""
    directory = tmp_path / "here"
    directory.mkdir()
    with contextlib.closing(Shell(directory, daemon)) as one:
        yield one


def until_printed(shell: Shell, command: str, words: str) -> str:
    """Run a command until it prints something; return all of it."""
    deadline = time.monotonic() + SECONDS
    while words not in (printed := shell.run(command)):
        assert time.monotonic() < deadline, printed
    return printed


def test_five_minutes(shell: Shell) -> None:
    """From nothing to a line of a guest that is read from the stream."""
    (configuration,) = (
        block for block in blocks(_DOCUMENT) if (block.section, block.language) == _CONFIGURATION
    )
    shell.save(configuration.lines[0].removeprefix("# "), list(configuration.lines))
    found = [one for one in commands(_DOCUMENT) if one.section == _SECTION]
    assert {row(one) for one in found} == rows(FLEET)
    *before, listed, followed = found
    for command in before:
        if "--check" in command.text:
            # (the server needs a moment)
            until_printed(shell, command.text, "can be made")
        else:
            shell.run(command.text)
    headings, log = until_printed(shell, listed.text, "node17").splitlines()
    assert headings.split() == listed.output[0].split()
    assert log.split()[0] == listed.output[1].split()[0]
    shell.run(f"{followed.text} &")
    deadline = time.monotonic() + SECONDS
    while followed.output[0] not in shell.output():
        assert time.monotonic() < deadline, shell.output()
        time.sleep(0.02)
    (program,) = (
        block for block in blocks(_DOCUMENT) if (block.section, block.language) == _PROGRAM
    )
    shell.save("last.py", list(program.lines))
    said = shell.run("python3 last.py")
    assert said.startswith("virtlog.node17.-./")
    assert said.endswith("b'hello, fleet\\n'\n")
