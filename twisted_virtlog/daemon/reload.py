"""SIGHUP: the configuration is read again and holds from then on, or all stays as it was."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from twisted_virtlog.config.settings import ConfigError, Settings
from twisted_virtlog.daemon.configuration import Configuration
from twisted_virtlog.errors import OutputError
from twisted_virtlog.systemd.supervision import Supervisor


class Reload:
    """Lets the daemon follow its configuration, and the service manager know of it."""

    _logger = Logger()

    def __init__(
        self,
        configuration: Configuration,
        supervision: Supervisor,
        follow: Callable[[Settings], None],
    ) -> None:
        """Keep the configuration that holds now.

        :param follow: lets other settings hold; see VirtlogService.reload.
        """
        self._configuration = configuration
        self._supervision = supervision
        self._follow = follow
        self._keep()

    def __call__(self) -> None:
        """Read the configuration again."""
        self._supervision.reloading()
        try:
            self._configuration.reread()
        except (ConfigError, OutputError, OSError) as error:
            self._logger.error("{error}; the settings stay as they were", error=error)
            self._supervision.note(f"{error}; the settings stay as they were")
        else:
            self._keep()
            self._follow(self._configuration.settings)
            self._logger.info("the configuration was read again")
        self._supervision.ready()

    def _keep(self) -> None:
        """Have the service manager keep what holds, for a start at which the file is wrong."""
        self._supervision.note(self._configuration.problem or "")
        if self._configuration.text is not None:
            self._supervision.keep_configuration(self._configuration.text)
