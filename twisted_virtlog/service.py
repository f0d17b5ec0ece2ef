"""The daemon as a service of any Twisted application: makes the rooms' objects, and joins them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime, timezone

from msgspec import Struct, field
from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from zope.interface import implementer

from twisted_virtlog.administration import Administration
from twisted_virtlog.config.settings import (
    Settings,
    consumers_of,
    explained,
    hold_of,
    policy_entries,
    with_words,
)
from twisted_virtlog.errors import HandOverFailed
from twisted_virtlog.handover.keeper import NO_KEEPER, Keeper
from twisted_virtlog.handover.state import OF_VIRTLOGD, DaemonState, Details
from twisted_virtlog.handover.suspension import Suspension, take_over
from twisted_virtlog.history.index import Index, IndexReactor
from twisted_virtlog.interfaces import Answer, IConversation, IMetrics, IOwnLog
from twisted_virtlog.jsonrpc.method import Services, ServingSocket
from twisted_virtlog.jsonrpc.protocol import JSONRPCConversation
from twisted_virtlog.libvirt.admin_program import ADMIN_PROGRAM
from twisted_virtlog.libvirt.log_program import LOG_PROGRAM
from twisted_virtlog.libvirt.program import Served, serving
from twisted_virtlog.libvirt.protocol import LibvirtConversation
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.memory import Memory, this_boot
from twisted_virtlog.logs.all_logs import AllLogs, LaneSettings
from twisted_virtlog.logs.bounds.survey import Survey
from twisted_virtlog.logs.consumers.acknowledging import Acknowledging
from twisted_virtlog.logs.consumers.consumers import Consumers, HoldSettings
from twisted_virtlog.logs.files.cleaner import Cleaner
from twisted_virtlog.logs.files.cleaning import Rules
from twisted_virtlog.logs.files.roots import Roots
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.following.following import Following
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.history import History
from twisted_virtlog.logs.lanes.mounts import MOUNTINFO, Mount, Mounts
from twisted_virtlog.logs.observing import LogObserver, LogThread, Observers
from twisted_virtlog.logs.packing.packing import Packing
from twisted_virtlog.logs.packing.process import PackingProcess
from twisted_virtlog.logs.pipes.making import Pipes, kernel_limits, read_text
from twisted_virtlog.logs.policy import HostBounds, Policies, Policy, PolicyOf, Words
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.logs.read_only import (
    ReadOnlyConsumers,
    ReadOnlyFollowing,
    ReadOnlyHistory,
    ReadOnlyLogs,
)
from twisted_virtlog.loop.clock import MonotonicClock
from twisted_virtlog.loop.durations import ByName
from twisted_virtlog.loop.idle import IdleTimeout, idle_since
from twisted_virtlog.loop.stall_watch import StallWatch
from twisted_virtlog.loop.stalls import StallCounts
from twisted_virtlog.loop.threads import threads_of
from twisted_virtlog.loop.turns import Turns
from twisted_virtlog.sockets.descriptor_budget import DescriptorBudget, usual_limit
from twisted_virtlog.sockets.doors import EVERYBODY, Door, for_group, shared_with
from twisted_virtlog.sockets.reception import Reception
from twisted_virtlog.sockets.request_budget import RequestBudget
from twisted_virtlog.sockets.server import Server
from twisted_virtlog.values import (
    Compress,
    DaemonStatus,
    Domain,
    MetricsLogs,
    MetricsText,
    OnRate,
    OnWriteError,
    PolicyWord,
    Start,
)

_LIBVIRT = "virtlogd"
_ADMIN = "admin"
_JSONRPC = "jsonrpc"
_READ_ONLY = "jsonrpc-ro"
_METRICS = "metrics"

# The protocols, as metrics name them.
_IN_JSONRPC, _IN_LIBVIRT = "jsonrpc", "libvirt"

#: So long, those who wait for the start or the end of a hand-over have the daemon for themselves.
_INDEX_REST_SECONDS = 0.05

#: Stands for no endpoint: nobody is served.
NO_ENDPOINT = "none"


class IDaemonReactor(IReactorCore, IndexReactor):
    """What the daemon needs of a reactor; all of Twisted's on UNIX have it."""


class Endpoints(Struct, frozen=True):
    """Where the daemon listens: server endpoint strings of UNIX sockets, or ``none``.

    :ivar jsonrpc: for JSON-RPC clients.
    :ivar jsonrpc_ro: for JSON-RPC clients that only read, of the group ``jsonrpc_ro_group``.
    :ivar libvirt: for libvirt's drivers.
    :ivar admin: for virt-admin.
    :ivar metrics: for Prometheus, by HTTP; also for the group ``jsonrpc_ro_group``.
    :ivar sockets: descriptors of sockets to listen on in place of an endpoint, by server.
    """

    jsonrpc: str = NO_ENDPOINT
    jsonrpc_ro: str = NO_ENDPOINT
    libvirt: str = NO_ENDPOINT
    admin: str = NO_ENDPOINT
    metrics: str = NO_ENDPOINT
    sockets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@implementer(IMetrics)
class _WantedMetrics:
    """The metrics of a daemon, whose modules are loaded only where somebody wants them."""

    def __init__(self, make: Callable[[], IMetrics]) -> None:
        self._make = make
        self._made: IMetrics | None = None

    def load(self) -> IMetrics:
        """Load them, before somebody asks."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def text(self, open_metrics: bool) -> Answer[MetricsText]:
        return self.load().text(open_metrics)


def _no_hand_over(to_virtlogd: str | None, state_version: int | None) -> Deferred[None]:
    raise HandOverFailed("this daemon runs inside another application, which has to hand over")


def _no_more(details: Details) -> Details:
    return details


class Process(Struct, frozen=True):
    """What the process offers to the daemon in it; by default, that of another application.

    :ivar keeper: what lets logs outlive the process, if anything does.
    :ivar own_log: the daemon's own log; None while the application does the logging.
    :ivar end: ends the process, which is no longer needed; None to stop only the service.
    :ivar reexec: hands over to the daemon's next image, or to the virtlogd at a path; the number is
        the version of the document that our own next image is to read, None for the lowest that
        says all. Raises HandOverFailed.
    :ivar suspended: adds to a state what the next image needs to know of the process.
    :ivar lane_directory: the directory of the locks of lanes, by which one that follows a process
        that cannot end waits for it; it need not be there yet. None: there are no locks, and
        whoever embeds the daemon sees to it that a former process is gone.
    :ivar memory: in which logs are counted, if that outlives the process; the service closes it.
    :ivar state_directory: where what is known beside the logs is kept, if the settings do not say;
        None: nowhere.
    """

    keeper: Keeper = NO_KEEPER
    own_log: IOwnLog | None = None
    end: Callable[[], None] | None = None
    reexec: Callable[[str | None, int | None], Deferred[None]] = _no_hand_over
    suspended: Callable[[Details], Details] = _no_more
    lane_directory: str | None = None
    state_directory: str | None = None
    memory: Memory | None = None


class VirtlogService(Service):
    """The daemon, to be run by twistd or inside any Twisted application.

    :ivar handler: the logs, for an application that uses them without a socket; set while the
        service runs.
    :ivar clock: makes the daemon's timed calls, whatever the wall clock does; set likewise.
    :ivar accounts: what is counted of logs; set likewise.
    """

    name = "virtlogd"
    handler: AllLogs
    clock: MonotonicClock
    accounts: Accounts
    _logger = Logger()

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        reactor: IDaemonReactor,
        state: DaemonState | None = None,
        process: Process | None = None,
    ) -> None:
        """Nothing is opened before the service is started.

        :param settings: of the configuration file, or ``Settings()`` for the defaults.
        :param state: of the daemon's former image, which handed over to this one.
        :param process: None for that of another application.
        """
        self._settings = settings
        self._endpoints = endpoints
        self._reactor = reactor
        self._state = state
        self._process = process or Process()

    def startService(self) -> None:
        """Listen and serve.

        :raises ListenError: a socket cannot be listened on; nothing is left open then.
        """
        state, self._state = self._state, None
        self._make(_start_of(state))
        try:
            # (first, as a mistake in an endpoint is to be found before logs are taken over)
            doors = self._doors()
            self._take_over_logs(state)
            if state is not None:
                self._resume(state, doors)
            self._reception.open(doors, resumed=state is not None)
        except BaseException:
            self._reception.stop_listening()
            self._close_logs()
            self._close()
            raise
        self._cleaner.set(_rules(self._settings))
        self._stall_watch.start()
        # (last, as its thread has to import much)
        self._history.begin(self.handler)
        self._acknowledging.begin()
        self._survey.set(_surveyed(self.handler.settings))
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def stopService(self) -> Deferred[None]:
        """Accept nobody, answer what is in progress, write what the pipes hold, and close.

        :returns: fires when everything is written.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._reception.stop_listening()
        self.handler.refuse_opens()
        self._following.end_all()
        self._cleaner.stop()
        self._survey.stop()
        self._acknowledging.stop()
        self._packing.stop()
        answered = self._reception.finish()
        written = answered.addCallback(lambda _: self.handler.finish())
        noted = written.addCallback(lambda _: self._close_logs())
        return noted.addCallback(lambda _: self._close())

    # What an application may ask for while the service runs.

    @property
    def servers(self) -> Sequence[Server]:
        """The clients of each protocol."""
        return self._reception.servers

    def info(self) -> DaemonStatus:
        """Return what the daemon is and how much it does."""
        return self._administration.status()

    @property
    def stalls(self) -> StallCounts:
        """How often, and for how long, the reactor stood still since the service was started."""
        return self._stall_watch.counts

    def reload(self, settings: Settings) -> None:
        """Let other settings hold from now on, for the logs that are open and for clients too.

        Pipes that are there keep their size, and a lower ``max_clients`` disconnects nobody. The
        settings of the daemon's own log are not this object's.
        """
        self._settings = settings
        self.handler.reload(_log_settings(settings), settings.pipe_size, _lane_settings(settings))
        self._packing.set(settings.compress_delay, _packs(settings))
        self._cleaner.set(_rules(settings))
        self._survey.set(_surveyed(self.handler.settings))
        self._acknowledging.reload()
        self._history.reload(bool(settings.time_index))
        for server in self.servers:
            server.limit(_max_clients(settings, server.name))
        self.bind_again()

    def bind_again(self) -> None:
        """Listen again at the paths of sockets whose files were removed."""
        self._reception.bind_again()

    def set_timeout(self, seconds: int) -> None:
        """End after N seconds without clients and open logs; 0 for never.

        What was set before no longer holds, and the time counts from now.
        """
        self._timeout.set(seconds)

    # A hand-over to the daemon's next image; see Suspension.

    def hold(self) -> None:
        """Take no more requests and clients; requests in progress go on."""
        self._suspension.hold()

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        self._suspension.release()

    def waiting(self) -> int:
        """Return how many requests are in progress, whose answers come later."""
        return self._suspension.waiting()

    def hung(self) -> Sequence[str]:
        """Return why threads do not end, in words; execve(2) would wait for them."""
        return self._suspension.hung()

    def pause(self) -> Deferred[None]:
        """Have the threads of slow file systems close their files; fires when they have."""
        self._packing.stop()
        return self._suspension.pause()

    def go_on(self) -> None:
        """Let them go on after :meth:`pause`, or instead."""
        self._suspension.go_on()
        self._packing.set(self._settings.compress_delay, _packs(self._settings))

    def end_subscriptions(self) -> None:
        """End what clients follow, as the next image does not know of such."""
        self._suspension.end_subscriptions()

    def suspended(self, conversations: bool = True) -> DaemonState:
        """Return what the next image needs to go on with all logs, sockets and clients.

        :param conversations: see :meth:`Suspension.suspended`.
        """
        return self._suspension.suspended(conversations)

    # Its parts.

    def _make(self, start: Start) -> None:
        """Make the rooms' objects, each of those that it needs."""
        settings, reactor, process = self._settings, self._reactor, self._process
        threads = reactor.getThreadPool
        clock = self.clock = MonotonicClock(reactor)
        in_thread = threads_of(reactor)
        turns = Turns(reactor)
        self._shares = turns.shares
        self._budget = RequestBudget(clock)
        self._descriptors = DescriptorBudget(usual_limit())
        self._calls = {protocol: ByName() for protocol in (_IN_JSONRPC, _IN_LIBVIRT)}
        self._reception = Reception(turns.clients, clock)
        self._following = Following(clock, turns.shares.later, turns.shares.rest)
        directory = settings.state_dir or process.state_directory
        index = Index(reactor, clock, directory, _mount_point, _INDEX_REST_SECONDS)
        self._consumers = Consumers(index)
        self._history = History(
            index,
            clock,
            turns.shares.in_slices,
            bool(settings.time_index),
        )
        self.accounts = Accounts(process.memory, this_boot())
        self._packing = Packing(clock, PackingProcess(reactor, clock), turns.shares.in_slices)
        # (before any lane: what starts a process closes files in it, and may wait for theirs)
        self._packing.set(settings.compress_delay, _packs(settings))
        self.handler = AllLogs(
            reactor,
            clock,
            in_thread,
            turns.guests,
            Pipes(settings.pipe_size, kernel_limits(read_text)),
            _log_settings(settings),
            process.keeper,
            turns.shares.in_slices,
            _lane_settings(settings),
            process.lane_directory,
            self._observer_of,
            lambda: (self._following.followed_logs, self._following.kept_files),
            self.accounts,
            self._consumers,
            lambda: turns.clients.served,
        )
        self._acknowledging = Acknowledging(
            self._consumers, self.handler, index, in_thread, clock, turns.shares.in_slices
        )
        self._following.begin(self.handler)
        self._packing.begin(self.handler)
        self._stall_watch = StallWatch(reactor, _described_mount, self.handler.pipe_locked)
        self._cleaner = Cleaner(
            clock,
            self.handler,
            self.handler.places(self._is_own_log),
            self._history.known_logs,
            turns.shares.in_slices,
        )
        self._survey = Survey(
            clock,
            self.handler.places(self._is_own_log),
            self.handler.usage,
            self._history.known_logs,
            self.handler.look_at_files,
            self.handler.directory_of,
            lambda path: self._consumers.of(path) is not None,
        )
        self.handler.refused = self._survey.refused
        self._timeout = IdleTimeout(
            clock,
            lambda: idle_since((self.handler.idle_since, self._reception.idle_since())),
            lambda: self._end("neither clients nor open logs for as long as the timeout says"),
        )
        self._suspension = Suspension(
            start,
            self.handler,
            self._history,
            self._reception,
            self._timeout,
            threads,
            process.suspended,
        )
        self._administration = Administration(
            start,
            lambda: self._settings,
            self.handler,
            self.servers,
            threads,
            self.set_timeout,
            process.own_log,
            # (what asked for it is answered first)
            lambda: reactor.callFromThread(
                lambda: self._end("an administrator shut the daemon down")
            ),
        )

        self._metrics = _WantedMetrics(self._make_metrics)

    def _make_metrics(self) -> IMetrics:
        from twisted_virtlog.metrics.metrics import Metrics, Parts  # noqa: PLC0415 (see the class)

        stall_watch = self._stall_watch
        return Metrics(
            self.handler,
            self.handler,
            self._administration,
            Parts(
                self._calls,
                lambda: stall_watch.turns,
                lambda: {cause.value: counts for cause, counts in stall_watch.by_cause.items()},
                lambda: self._suspension.hand_overs,
                lambda: self._cleaner.removed,
                lambda: self._history.index_figures,
                lambda: self._packing.figures,
                self._acknowledging.lags,
            ),
            self._shares.in_slices,
            lambda: MetricsLogs(self._settings.metrics_logs),
        )

    def _scraping(self) -> IConversation:
        """Return the conversation of one that scrapes the metrics."""
        from twisted_virtlog.metrics.conversation import (  # noqa: PLC0415 (as above)
            MetricsConversation,
        )

        return MetricsConversation(self._metrics)

    def _observer_of(self, thread: LogThread) -> LogObserver:
        """Make what is told of the logs of a thread."""
        return Observers(
            [
                self._following.observer_of(thread),
                self._history.observer_of(thread),
                self._packing.observer_of(thread),
            ]
        )

    def _doors(self) -> list[Door]:
        """Join each protocol's server with what it serves, and with where its clients come in."""
        logs, administration = self.handler, self._administration
        in_slices = self._shares.in_slices
        services = Services(
            handler=logs,
            administration=administration,
            sockets=self._jsonrpc_sockets,
            reexec=self._process.reexec,
            in_slices=in_slices,
            following=self._following,
            history=self._history,
            metrics=self._metrics,
            consumers=self._acknowledging,
        )
        reading = replace(
            services,
            handler=ReadOnlyLogs(logs, logs.may_be_read),
            following=ReadOnlyFollowing(logs, self._following, logs.may_be_read),
            history=ReadOnlyHistory(logs, self._history, logs.may_be_read),
            consumers=ReadOnlyConsumers(self._acknowledging, logs.may_be_read),
        )
        log_programs = serving(Served(LOG_PROGRAM, logs))
        admin_programs = serving(Served(ADMIN_PROGRAM, administration))
        jsonrpc_calls, libvirt_calls = self._calls[_IN_JSONRPC], self._calls[_IN_LIBVIRT]
        endpoints = self._endpoints
        if endpoints.metrics != NO_ENDPOINT or _METRICS in endpoints.sockets:
            self._metrics.load()
        own = {os.geteuid()}
        return [
            self._door(
                _LIBVIRT,
                endpoints.libvirt,
                own,
                lambda: LibvirtConversation(log_programs, in_slices, libvirt_calls),
            ),
            self._door(
                _ADMIN,
                endpoints.admin,
                own,
                lambda: LibvirtConversation(admin_programs, in_slices, libvirt_calls),
            ),
            self._door(
                _JSONRPC,
                endpoints.jsonrpc,
                {0, *own},
                lambda: JSONRPCConversation(services, calls=jsonrpc_calls),
            ),
            for_group(
                self._door(
                    _READ_ONLY,
                    endpoints.jsonrpc_ro,
                    EVERYBODY,
                    lambda: JSONRPCConversation(reading, read_only=True, calls=jsonrpc_calls),
                ),
                self._settings.jsonrpc_ro_group,
            ),
            shared_with(
                self._door(
                    _METRICS,
                    endpoints.metrics,
                    EVERYBODY,
                    self._scraping,
                ),
                self._settings.jsonrpc_ro_group,
            ),
        ]

    def _door(
        self,
        name: str,
        endpoint: str,
        uids: Container[int],
        converse: Callable[[], IConversation],
    ) -> Door:
        server = Server(
            name,
            uids,
            _max_clients(self._settings, name),
            converse,
            self._budget,
            lets_first_in=name in OF_VIRTLOGD,
            shares=self._shares,
            descriptors=self._descriptors,
            looks_on=name == _METRICS,
        )
        return Door(
            server,
            None if endpoint == NO_ENDPOINT else endpoint,
            self._endpoints.sockets.get(name),
            required=name != _READ_ONLY,
            is_given=name in (_READ_ONLY, _METRICS),
        )

    def _jsonrpc_sockets(self) -> tuple[ServingSocket, ...]:
        return tuple(
            ServingSocket(server, address, read_only=server == _READ_ONLY)
            for server in (_JSONRPC, _READ_ONLY)
            for address in self._reception.addresses(server)
        )

    def _take_over_logs(self, state: DaemonState | None) -> None:
        """Go on with the logs of the former image, or with those that outlived a process."""
        keeper = self._process.keeper
        if state is not None:
            take_over(state.logs, self.handler.adopt)
        else:
            take_over(keeper.restored(), self.handler.restore)
        logs = self.handler.suspended()
        self.accounts.keep_only({os.fstat(log.pipe).st_ino for log in logs})
        keeper.begin(logs)
        self.handler.write_former()

    def _resume(self, state: DaemonState, doors: Sequence[Door]) -> None:
        """Go on with all else that the former image had."""
        if state.details is not None:
            self._suspension.resume(state.details)
        self._reception.resume(state, doors)
        self._logger.info(
            "took over {logs} logs and {clients} clients",
            logs=self.handler.counts().open_logs,
            clients=self._reception.count(),
        )

    def _is_own_log(self, path: str) -> bool:
        """Return whether a file, by its path without links, is one of the daemon's own log."""
        own = self._process.own_log
        return own is not None and path in own.files()

    def _end(self, reason: str) -> None:
        self._logger.info("{reason}", reason=reason)
        if self._process.end is not None:
            self._process.end()
        else:
            self.stopService()

    def _close_logs(self) -> Deferred[None]:
        self._following.end_all()
        self.handler.close()
        return self._history.close()

    def _close(self) -> None:
        self._packing.stop()
        self._reception.close()
        self._shares.close()
        self._budget.close()
        self._descriptors.close()
        self.accounts.end()
        self.clock.close()
        # (last, as all of these may take long)
        self._stall_watch.stop()


def _start_of(state: DaemonState | None) -> Start:
    """Return when the daemon started; a former image may have."""
    if state is not None and state.details is not None:
        return Start(state.details.started_at, state.details.started)
    return Start(datetime.now(timezone.utc), time.monotonic())


def _mount(path: str) -> Mount | None:
    """Return the mount that a path lies on, without touching the path."""
    try:
        with open(MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
            return Mounts(file.read()).of(path)
    except OSError:
        return None


def _described_mount(path: str) -> str | None:
    """Describe the mount that a path lies on, for people."""
    mount = _mount(path)
    return None if mount is None else f"{mount.point}, {mount.kind} of {mount.source}"


def _mount_point(path: str) -> str | None:
    """Return where the mount is that a path lies on."""
    mount = _mount(path)
    return None if mount is None else mount.point


def _max_clients(settings: Settings, server: str) -> int:
    return settings.admin_max_clients if server == _ADMIN else settings.max_clients


def _surveyed(settings: LogSettings) -> PolicyOf | None:
    """Return what resolves policies if it is to be known what closed logs take up."""
    return settings.policy_of if settings.bounds.counts else None


def _packs(settings: Settings) -> bool:
    """Return whether the backups of any log are to be packed."""
    values = [settings.compress]
    values += [str(dict(entry.words).get("compress")) for entry in policy_entries(settings)]
    return Compress.ZSTD.value in values


def _rules(settings: Settings) -> Rules:
    return Rules(settings.log_root, settings.max_age_days, settings.max_backups)


def _lane_settings(settings: Settings) -> LaneSettings:
    return LaneSettings(settings.file_threads, settings.file_timeout)


def _log_settings(settings: Settings) -> LogSettings:
    def make(words: Words) -> Policy:
        return _policy(with_words(settings, words), words)

    entries = policy_entries(settings)
    policies = Policies(entries, make)

    def explain(path: str, driver: str | None, domain: Domain | None) -> Mapping[str, PolicyWord]:
        return explained(settings, entries, policies.origins(path, driver, domain))

    quotas = settings.quota > 0 or any(dict(entry.words).get("quota") for entry in entries)
    bounds = HostBounds(settings.host_keep_free, settings.host_max_use, quotas)
    is_said = settings.compress or "compress" in settings.named
    has_packed = is_said or any("compress" in dict(entry.words) for entry in entries)
    roots = Roots(settings.log_roots, bool(has_packed))
    holds = HoldSettings(consumers_of(settings), settings.hold_max, settings.hold_max_log)
    return LogSettings(policies, settings.max_open_logs, bounds, roots, explain, holds)


def _policy(settings: Settings, words: Words) -> Policy:
    """Return the policy of logs for which these settings hold, of which some are words' values."""
    return Policy(
        Limits(settings.max_size, settings.max_backups),
        OnWriteError(settings.on_write_error),
        bool(settings.keep_on_truncate),
        Rate.of(settings.rate, settings.burst, settings.boot_burst, OnRate(settings.on_rate)),
        # (that of all is the pipes' own)
        settings.pipe_size if "pipe_size" in words else None,
        settings.quota,
        hold_of(settings.hold),
        settings.compress_from if settings.compress == Compress.ZSTD.value else None,
    )
