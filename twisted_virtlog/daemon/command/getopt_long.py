"""Options as getopt_long(3) of the GNU C library reads them, with its messages.

Python's getopt and argparse word their messages differently, and read the whole command line
before the first option takes effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct


class UsageError(Exception):
    """The command line cannot be read; the message is getopt_long's, without the program's name."""


class Option(Struct, frozen=True):
    """An option in its two forms.

    :ivar long: without the two dashes.
    :ivar short: one letter; empty for no short form.
    :ivar value: what its value is called; empty if it takes no value.
    :ivar meaning: for the help.
    :ivar exact: the long form must not be shortened.
    """

    long: str
    short: str
    value: str
    meaning: str
    exact: bool = False


def options_in(
    arguments: Sequence[str], table: Sequence[Option]
) -> Iterator[tuple[Option, str | None]]:
    """Yield the options one by one, with their values; skip whatever is not an option.

    :param arguments: without the program's name.
    :raises UsageError: at the first argument that is wrong, after all before it were yielded.
    """
    rest = list(reversed(arguments))
    while rest:
        argument = rest.pop()
        if argument == "--":
            return
        if argument.startswith("--"):
            yield _long_option(argument[2:], rest, table)
        elif argument.startswith("-") and argument != "-":
            yield from _short_options(argument[1:], rest, table)


def _long_option(text: str, rest: list[str], table: Sequence[Option]) -> tuple[Option, str | None]:
    name, equals, value = text.partition("=")
    found = [option for option in table if option.long == name] or [
        option for option in table if option.long.startswith(name) and not option.exact
    ]
    if not found:
        raise UsageError(f"unrecognized option '--{text}'")
    if len(found) > 1:
        possible = " ".join(f"'--{option.long}'" for option in found)
        raise UsageError(f"option '--{text}' is ambiguous; possibilities: {possible}")
    (option,) = found
    if not option.value:
        if equals:
            raise UsageError(f"option '--{option.long}' doesn't allow an argument")
        return option, None
    if equals:
        return option, value
    if not rest:
        raise UsageError(f"option '--{option.long}' requires an argument")
    return option, rest.pop()


def _short_options(
    letters: str, rest: list[str], table: Sequence[Option]
) -> Iterator[tuple[Option, str | None]]:
    for index, letter in enumerate(letters):
        option = next((option for option in table if option.short == letter), None)
        if option is None:
            raise UsageError(f"invalid option -- '{letter}'")
        if option.value:
            attached = letters[index + 1 :]
            if not attached and not rest:
                raise UsageError(f"option requires an argument -- '{letter}'")
            yield option, attached or rest.pop()
            return
        yield option, None
