"""The program ``virtlog-fleet``: its table of commands."""

from __future__ import annotations

import click

from twisted_virtlog import __version__
from twisted_virtlog.ctl.groups import Program, Unloaded
from twisted_virtlog.fleet.settings import FleetSettings, common_options

#: The commands: the name of each, what it does, and where it is.
_COMMANDS = (
    ("grep", "Print the lines of logs that an expression matches.", "grep_command.grep"),
    ("ls", "List the logs that are stored.", "ls_command.list_logs"),
    ("read", "Copy the exact bytes of a log to standard output.", "read_command.read"),
    ("tail", "Print the last lines of logs, and what comes.", "tail_command.tail"),
    ("wait", "Wait until a line comes in a log.", "wait_command.wait"),
)


class _VirtlogFleet(Program):
    """Explains what went wrong between the servers and a command."""

    def explain(self, ctx: click.Context, error: Exception) -> int | None:
        """See Program."""
        # (only loaded where something is wrong)
        from twisted_virtlog.fleet.failures import explain  # noqa: PLC0415

        return explain(ctx.ensure_object(FleetSettings), error)


@click.group(
    cls=_VirtlogFleet,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
    \b
    Exit status:
      0  success
      1  no log is one of those that were asked for, or several are where one must be
      2  the command line is wrong
      3  no server can be reached, or there is no stream
      4  grep, wait: as 1 otherwise
      124  wait: the time is over
      130, 141  interrupted; or nobody reads the output any more
    """,
)
@common_options
@click.version_option(__version__, prog_name="virtlog-fleet", message="%(prog)s %(version)s")
def main() -> None:
    """Read the logs of a fleet where virtlog-ship has stored them, as virtlogctl does on a host.

    A log of a guest that moved from host to host is one log. Times are those of the hosts' clocks.
    """


#: (how messages call it)
main.name = "virtlog-fleet"

for _name, _help, _place in _COMMANDS:
    main.add_command(Unloaded(_name, _help, str(__package__), _place))
