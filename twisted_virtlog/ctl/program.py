"""The program: its table of commands."""

from __future__ import annotations

import click

from twisted_virtlog import __version__
from twisted_virtlog.ctl.groups import Program, Unloaded
from twisted_virtlog.ctl.settings import Settings, common_options

#: The commands: the name of each, what it does, and where it is. The second column is all that is
#: known of one before it is called, so that the help waits for none of what they need.
_COMMANDS = (
    ("append", "Append a message to a log, as a line.", "log_commands.append"),
    ("boots", "List each time that a log was opened.", "boots_command.boots"),
    ("clients", "List who is connected to the daemon.", "administration.clients"),
    ("close", "Close a log by force, whoever holds its pipe.", "log_commands.close"),
    ("consumers", "Show who has read what of logs.", "consumers_command.consumers"),
    ("decompress", "Decompress the backups of logs.", "decompress_command.decompress"),
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


class _Virtlogctl(Program):
    """Explains what went wrong between a daemon and a command."""

    def explain(self, ctx: click.Context, error: Exception) -> int | None:
        """See Program."""
        # (only loaded where something is wrong)
        from twisted_virtlog.ctl.failures import explain  # noqa: PLC0415

        return explain(ctx.ensure_object(Settings), error)


@click.group(
    cls=_Virtlogctl,
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
    virtlogctl.add_command(Unloaded(_name, _help, str(__package__), _place))
