"""A program of commands: each is loaded when it is called, and the program ends with its status."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from twisted_virtlog.ctl.settings import BROKEN_PIPE_STATUS, INTERRUPTED_STATUS, USAGE_STATUS


class Unloaded(click.Command):
    """A command that is loaded when it is called, or asked for its parameters."""

    def __init__(self, name: str, short_help: str, package: str, place: str) -> None:
        """:param place: its module in a package, and its name there."""
        super().__init__(name, short_help=short_help)
        self._package = package
        self._place = place

    def load(self) -> click.Command:
        """Return the command itself."""
        module, _, name = self._place.partition(".")
        command = getattr(import_module(f"{self._package}.{module}"), name)
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
            failure = self.explain(ctx, error)
            if failure is None:
                raise
            ctx.exit(failure)

    def explain(self, ctx: click.Context, error: Exception) -> int | None:
        """Print what went wrong, as far as this program knows such an error.

        :returns: the exit status; None if it does not, and nothing was printed.
        """
        raise NotImplementedError


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line that cannot be parsed asks for JSON."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options
