"""The program: its table of commands, each loaded when it is called, and how it ends."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from twisted_virtlog import __version__
from twisted_virtlog.ctl.settings import (
    BROKEN_PIPE_STATUS,
    INTERRUPTED_STATUS,
    USAGE_STATUS,
    Settings,
    common_options,
)

#: The commands: the name of each, what it does, and where it is. The second column is all that is
#: known of one before it is called, so that the help waits for none of what they need.
_COMMANDS = (
    ("append", "Append a message to a log, as a line.", "log_commands.append"),
    ("boots", "List each time that a log was opened.", "boots_command.boots"),
    ("clients", "List who is connected to the daemon.", "administration.clients"),
    ("close", "Close a log by force, whoever holds its pipe.", "log_commands.close"),
    ("consumers", "Show who has read what of logs.", "consumers_command.consumers"),
    ("disconnect", "Close a client's connection at once.", "administration.disconnect"),
    ("discover", "Print the OpenRPC document of the daemon's methods.", "daemon_commands.discover"),
    ("exec", "Run a command with its output in a log.", "exec_command.execute"),
    ("grep", "Print the lines of logs that an expression matches.", "grep_command.grep"),
    ("info", "Show the daemon's socket, version, limits and totals.", "daemon_commands.info"),
    ("ledger", "Show what became of every byte of logs.", "ledger_command.ledger"),
    ("limits", "Show, or set, how many clients may be connected.", "administration.limits"),
    ("list", "List the open logs.", "list_command.list_logs"),
    ("logging", "Show, or set, what the daemon logs about itself.", "administration.logging"),
    ("metrics", "Print what the daemon counts and measures.", "daemon_commands.metrics"),
    ("policy", "Show how a log is kept, and what says so.", "policy_command.policy"),
    ("position", "Print the end of an open log.", "log_commands.position"),
    ("read", "Copy the exact bytes of a log to standard output.", "read_command.read"),
    ("reexec", "Make the daemon re-execute itself.", "daemon_commands.reexec"),
    ("remove", "Remove all files of logs that are not open.", "log_commands.remove"),
    ("tail", "Print the last lines of logs, and what comes.", "tail_command.tail"),
    ("top", "Show the open logs by what is written, live.", "top_command.top"),
    ("wait", "Wait until a line comes in a log.", "wait_command.wait"),
)


class Unloaded(click.Command):
    """A command that is loaded when it is called, or asked for its parameters."""

    def __init__(self, name: str, short_help: str, place: str) -> None:
        """:param place: its module in this package, and its name there."""
        super().__init__(name, short_help=short_help)
        self._place = place

    def load(self) -> click.Command:
        """Return the command itself."""
        module, _, name = self._place.partition(".")
        command = getattr(import_module(f"{__package__}.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return a context of the command itself, which is invoked then."""
        return self.load().make_context(info_name, args, parent, **extra)


class Program(click.Group):
    """Runs a subcommand and exits with one of the documented statuses."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program; see :class:`click.Command`. Usage errors too may be written in JSON."""
        if args is None:
            # A process of its own: no search for garbage looks again at what was loaded so far,
            # which is a tenth of the time until a command has answered.
            gc.freeze()
        arguments = sys.argv[1:] if args is None else list(args)
        try:
            status = super().main(arguments, prog_name, complete_var, False, **extra)
        except click.UsageError as error:
            if not standalone_mode:
                raise
            # (only loaded where something is wrong)
            from twisted_virtlog.ctl.failures import show_usage_error  # noqa: PLC0415

            show_usage_error(error, _wants_json(arguments))
            sys.exit(USAGE_STATUS)
        except click.Abort:
            if not standalone_mode:
                raise
            sys.exit(INTERRUPTED_STATUS)
        if standalone_mode:
            sys.exit(status if isinstance(status, int) else 0)
        return status

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        settings = ctx.ensure_object(Settings)
        try:
            result = super().invoke(ctx)
            # Writing what is still buffered may fail too, and would do so with a traceback at exit.
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # The reader, such as head, has gone. Nothing may be written there at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE_STATUS)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED_STATUS)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:
            from twisted_virtlog.ctl.failures import explain  # noqa: PLC0415

            failure = explain(settings, error)
            if failure is None:
                raise
            ctx.exit(failure)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
    \b
    Exit status:
      0  success
      1  the daemon answered with an error
      2  the command line is wrong
      3  the daemon cannot be reached, or does not answer
      4  grep, wait: the daemon answered with an error
      124  wait: the time is over
      126, 127  exec: the command cannot be run, or was not found
      130, 141  interrupted; or nobody reads the output any more
    Once exec has started its command, the exit status is the command's.
    """,
)
@common_options
@click.version_option(__version__, prog_name="virtlogctl", message="%(prog)s %(version)s")
def virtlogctl() -> None:
    """Read, write and administer the logs of the virtual machine log daemon."""


for _name, _help, _place in _COMMANDS:
    virtlogctl.add_command(Unloaded(_name, _help, _place))


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line that cannot be parsed asks for JSON."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options
