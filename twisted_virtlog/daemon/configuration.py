"""A daemon's configuration as it runs: where it comes from, and its own log, which follows it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace
from twisted.logger import Logger

from twisted_virtlog.config.logging import parse_filters, parse_level, parse_outputs
from twisted_virtlog.config.settings import (
    ConfigError,
    Examined,
    Settings,
    UnreadableConfig,
    examine,
    load,
    read_text,
    with_environment,
)
from twisted_virtlog.daemon.log.observer import OwnLog
from twisted_virtlog.daemon.log.outputs import default_output
from twisted_virtlog.errors import OutputError
from twisted_virtlog.values import Destination, Filter, Logging, Output, Priority

_STDIN = 0


class Source(Struct, frozen=True):
    """Where the settings come from; what is lower here is stronger.

    :ivar file: the configuration file.
    :ivar required: whether it must exist.
    :ivar environment: libvirt's variables for logging.
    :ivar verbose: log at least what is of level info.
    """

    file: str
    required: bool
    environment: Mapping[str, str]
    verbose: bool = False

    def text(self) -> bytes:
        """Return the text of the file; that of a file that need not exist is empty.

        :raises UnreadableConfig: it cannot be read.
        """
        return read_text(self.file, self.required)

    def settings(self, text: bytes) -> tuple[Settings, list[str]]:
        """Return the settings that a text means, and warnings about it.

        :raises ConfigError: they cannot be used.
        """
        settings, warnings = load(self.file, text)
        return self._overridden(with_environment(settings, self.environment)), warnings

    def examine(self) -> Examined:
        """Find all mistakes in the file and in the environment at once.

        :returns: with settings of what is right.
        """
        try:
            examined = examine(self.file, self.text())
        except UnreadableConfig as error:
            examined = Examined(Settings(), (error,), ())
        settings, errors = examined.settings, examined.errors
        try:
            settings = with_environment(settings, self.environment)
        except ConfigError as error:
            errors = (*errors, error)
        return Examined(self._overridden(settings), errors, examined.warnings)

    def _overridden(self, settings: Settings) -> Settings:
        if self.verbose:
            level = min(parse_level(settings.log_level), Priority.INFO)
            settings = replace(settings, log_level=level.value)
        return settings


class LastGood(Struct, frozen=True):
    """What a daemon uses that must serve whatever its file says, because logs are open.

    :ivar text: of the last configuration that was in force; None if nobody knows it.
    """

    text: bytes | None


class Configuration:
    """The settings in force, and the daemon's own log.

    :ivar settings: as read last.
    :ivar text: that of the file from which they are; None if they are not those of one text.
    :ivar problem: why the file as it is does not hold; None if it does.
    :ivar own_log: made as they say.
    """

    def __init__(
        self,
        source: Source,
        background_file: str | None = None,
        last_good: LastGood | None = None,
    ) -> None:
        """Read the settings and open the own log.

        :param background_file: the own log's default file, for a daemon that goes to the
            background; None for one that stays.
        :param last_good: what to go by if the file cannot be used; None to fail then.
        :raises ConfigError: the settings cannot be used.
        :raises OutputError: an output of the own log cannot be opened.
        """
        self._source = source
        self._background_file = background_file
        self.problem: str | None = None
        try:
            self.text: bytes | None = source.text()
            self.settings, warnings = source.settings(self.text)
            self.own_log = self._opened(self.settings)
        except (ConfigError, OutputError) as error:
            if last_good is None:
                raise
            warnings = self._fall_back(error, last_good)
        self._configured = self.own_log.logging()
        self._warn(warnings)
        if self.problem is not None:
            Logger(observer=self.own_log).error("{problem}", problem=self.problem)

    def _opened(self, settings: Settings) -> OwnLog:
        return OwnLog(self._default_outputs, *_logging(settings))

    def _fall_back(self, error: Exception, last_good: LastGood) -> list[str]:
        """Go by the last good configuration, or by what is right in the present one."""
        if last_good.text is not None and isinstance(error, ConfigError):
            with suppress(ConfigError, OutputError):
                self.settings, warnings = self._source.settings(last_good.text)
                self.own_log = self._opened(self.settings)
                self.text = last_good.text
                self.problem = f"{error}; the last configuration that was right holds"
                return warnings
        self.text = None
        # Without the key that is wrong, another one may remove logs that are to be kept.
        self.settings = replace(self._source.examine().settings, max_age_days=0)
        self.problem = (
            f"{error}; what is right in it holds, otherwise the defaults, and no old logs are"
            " removed"
        )
        try:
            self.own_log = self._opened(self.settings)
        except OutputError:
            output = Output(parse_level(self.settings.log_level), Destination.STDERR)
            self.own_log = OwnLog(self._default_outputs, outputs=[output])
        return []

    def reread(self) -> None:
        """Read the settings again and let the own log follow, or leave everything as it was.

        The own log's files are opened again, so that one that was moved away is let go.

        :raises ConfigError: see above, as for the others.
        """
        text = self._source.text()
        settings, warnings = self._source.settings(text)
        self.own_log.change(*_logging(settings))
        self.settings = settings
        self.text = text
        self.problem = None
        self._configured = self.own_log.logging()
        self._warn(warnings)

    def changed_logging(self) -> Logging | None:
        """Return what the own log does, if that is not what the configuration says."""
        present = self.own_log.logging()
        return None if present == self._configured else present

    def resume_logging(self, logging: Logging) -> None:
        """Log as the daemon's former image did when that was not what the configuration says.

        :raises OutputError: an output cannot be opened; nothing has changed.
        """
        # (nothing else says whether somebody named the outputs)
        is_default = logging.outputs == tuple(self._default_outputs(logging.level))
        self.own_log.change(logging.level, logging.filters, () if is_default else logging.outputs)

    @property
    def own_log_is_on_standard_error(self) -> bool:
        """Whether whoever started the daemon sees its own log."""
        outputs = self.own_log.logging().outputs
        return any(output.destination is Destination.STDERR for output in outputs)

    def _default_outputs(self, level: Priority) -> Sequence[Output]:
        """Return where messages go when the configuration does not say it."""
        # Not sys.stdin, which is None when the process was started without one.
        return [default_output(level, os.isatty(_STDIN), self._background_file)]

    def _warn(self, warnings: Sequence[str]) -> None:
        logger = Logger(observer=self.own_log)
        for warning in warnings:
            logger.warn("{warning}", warning=warning)


def _logging(settings: Settings) -> tuple[Priority, list[Filter], list[Output]]:
    """Return what settings say of the own log; no outputs mean the default ones."""
    return (
        parse_level(settings.log_level),
        parse_filters(settings.log_filters),
        parse_outputs(settings.log_outputs),
    )
