"""How little virtlogctl loads: what it does not load, nobody waits for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fake_daemon import FakeDaemon
from twisted_virtlog.ctl import main
from twisted_virtlog.ctl.groups import Unloaded

CHECKOUT = Path(__file__).parents[2]

VIRTLOGCTL = "from twisted_virtlog.ctl import main; main(prog_name='virtlogctl')"
#: Runs before a program, and tells at its end what was loaded.
LISTING = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
#: A program of click's that does nothing.
BARE = """
import click
@click.group()
@click.option("--number", type=click.FloatRange(min=0))
@click.version_option("1.0")
def bare(): "Nothing."
@bare.command("one")
def one(): "Nothing."
bare()
"""


def loaded(program: str, *arguments: str) -> set[str]:
    """Run a program of Python's; return the modules that it loads."""
    result = subprocess.run(
        [sys.executable, "-c", LISTING + program, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    return set(result.stderr.split())


def test_the_help_loads_little_but_click() -> None:
    """It takes about as long as that of a program that does nothing."""
    more = loaded(VIRTLOGCTL, "--help") - loaded(BARE, "--help")
    own = {name for name in more if name.startswith("twisted_virtlog")}
    assert own == {
        "twisted_virtlog",
        "twisted_virtlog.ctl",
        "twisted_virtlog.ctl.groups",
        "twisted_virtlog.ctl.program",
        "twisted_virtlog.ctl.settings",
    }
    assert {name for name in more - own if "." not in name} <= {"copy", "dataclasses", "gc", "org"}


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["info"], {"daemon_commands"}),
        (["list"], {"list_command", "holders"}),
        (["position", "/a"], {"log_commands", "parameters"}),
        (["grep", "x", "/a"], {"grep_command", "grep.search", "selecting"}),
    ],
)
def test_a_command_loads_what_it_needs(
    daemon: FakeDaemon, command: list[str], needed: set[str]
) -> None:
    """And nothing that takes long to load without a use for it."""
    daemon.logs["/a"] = b"x\n"
    found = loaded(VIRTLOGCTL, "--socket", str(daemon.path), *command)
    assert {f"twisted_virtlog.ctl.{name}" for name in needed} <= found
    roots = {name.partition(".")[0] for name in found}
    assert not roots & {"asyncio", "curses", "hashlib", "sqlite3", "subprocess", "twisted", "zope"}
    commands = {name for name in found if name.endswith(("_command", "_commands"))}
    assert len(commands) == 1
    others = {"failures", "advice", "tailing", "waiting", "times"} - needed
    assert not found & {f"twisted_virtlog.ctl.{name}" for name in others}


@pytest.mark.parametrize("name", main.commands)
def test_each_command_is_where_the_table_says(name: str) -> None:
    """It has the name that it is called by, and says in a line what it does."""
    command = main.commands[name]
    assert isinstance(command, Unloaded)
    assert command.load().name == name
    assert command.short_help is not None
    assert len(command.short_help) <= 60
