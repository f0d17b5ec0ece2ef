"""The manual page tells all that the program takes, and nothing else."""

from __future__ import annotations

import pytest

from harness.daemon import CHECKOUT
from tests.man_pages import explained_commands, explained_options, options_of
from twisted_virtlog.ctl.groups import Unloaded
from twisted_virtlog.fleet.program import main

PAGE = (CHECKOUT / "doc" / "virtlog-fleet.1").read_text().replace("\\-", "-")


def test_all_commands_are_explained() -> None:
    """Each command has an entry."""
    assert explained_commands(PAGE) == set(main.commands)


def test_all_options_are_explained() -> None:
    """The page has each option, and no other."""
    assert explained_options(PAGE) == options_of(main)


@pytest.mark.parametrize("name", main.commands)
def test_each_command_is_where_the_table_says(name: str) -> None:
    """It has the name that it is called by, and says in a line what it does."""
    command = main.commands[name]
    assert isinstance(command, Unloaded)
    assert command.load().name == name
    assert command.short_help is not None


def test_each_shell_has_its_completion() -> None:
    """Each asks the program in the shell's own way."""
    for name, shell in (
        ("virtlog-fleet", "bash"),
        ("_virtlog-fleet", "zsh"),
        ("virtlog-fleet.fish", "fish"),
    ):
        text = (CHECKOUT / "completion" / name).read_text()
        assert f"_VIRTLOG_FLEET_COMPLETE={shell}_source virtlog-fleet" in text
