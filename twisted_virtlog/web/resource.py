"""The resource that shows logs, to be mounted in any site of twisted.web."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from twisted_virtlog.client import LogEvent, RemoteError
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.access import HEADERS, LOCAL_HOSTS, Asked, ChecksUsers, Refused, refusal
from twisted_virtlog.web.answering import Answering, refuse, send, send_json
from twisted_virtlog.web.assets import PAGE, AssetResource, assets
from twisted_virtlog.web.daemon import Connect, Daemon
from twisted_virtlog.web.downloading import download
from twisted_virtlog.web.event_stream import event
from twisted_virtlog.web.extent import later
from twisted_virtlog.web.files import Files
from twisted_virtlog.web.listing import Listing
from twisted_virtlog.web.live import Live
from twisted_virtlog.web.places import place_of, place_text
from twisted_virtlog.web.queries import MakesNoSense, Query, meaning
from twisted_virtlog.web.rows import ORDERS, Page, Wanted
from twisted_virtlog.web.searching import ISearchReactor, Searching
from twisted_virtlog.web.searching import Wanted as Sought
from twisted_virtlog.web.sharing import Sharing
from twisted_virtlog.web.skipping import Skipping
from twisted_virtlog.web.streaming import PATIENCE_SECONDS, EventStream
from twisted_virtlog.web.timeline import MOST_COLUMNS, timeline
from twisted_virtlog.web.times import around, times_before
from twisted_virtlog.web.windows import (
    MOST_BYTES,
    NO_SUCH_LOG,
    Window,
    extent_of,
    window_before,
    window_from,
)

_MOST_ROWS = 500
_MOST_BEHIND = 1 << 40
_MOST_LOGS_OF_A_GUEST = 20


class LogsResource(Resource):
    """Shows the logs of a daemon.

    All addresses in it are relative, so it can be mounted anywhere.

    :param connect: connects to the daemon, as ``partial(connect, reactor, path)`` of
        :mod:`twisted_virtlog.client.deferred` does; the read-only socket suffices.
    :param checks_users: says who may look at logs, which is asked for each request but those for
        the page's own files: :class:`.SiteChecksUsers` if the site around it has done so already.
    :param hosts: the names in lower case, without ports, that browsers reach the site by.
    :param patience: seconds after which a client that takes nothing is given up.
    """

    def __init__(
        self,
        reactor: ISearchReactor,
        connect: Connect,
        checks_users: ChecksUsers,
        hosts: Collection[str] = LOCAL_HOSTS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        Resource.__init__(self)
        self._hosts = frozenset(hosts)
        self._daemon = Daemon(connect)
        self._sharing = Sharing(self._daemon)
        _mount(self, [(name, AssetResource(asset)) for name, asset in assets()])
        self.putChild(b"", self.children[PAGE.encode()])
        self._api = _Api(reactor, self._daemon, self._sharing, checks_users, patience)
        self.putChild(b"api", self._api)

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """Find a child, after a look at who asks."""
        if (refused := self._prepare(request, path in {b"", PAGE.encode()})) is not None:
            return _Refusing(refused)
        return Resource.getChildWithDefault(self, path, request)  # type: ignore[no-any-return]

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Answer that there is no such thing."""
        return _Refusing(Refused(404, "there is no such page"))

    def render_GET(self, request: Request) -> bytes:
        """Lead to the page itself, whose relative addresses begin below this one."""
        if (refused := self._prepare(request, is_page=True)) is not None:
            return _Refusing(refused).render(request)
        request.setResponseCode(307)
        # (quoted, as what was asked for may have been, so that it leads nowhere else)
        here = (request.prepath or [b""])[-1]
        request.setHeader(b"Location", quote(here, safe="").encode() + b"/")
        return b""

    def close(self) -> Deferred[None]:
        """Close the connections to the daemon; nothing is shown any more."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._api.close()
        await self._sharing.close()
        await self._daemon.close()

    def _prepare(self, request: Request, is_page: bool) -> Refused | None:
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        return refusal(_asked(request), self._hosts, is_page)


class _Refusing(Resource):
    """Says why a request is not carried out."""

    isLeaf = True

    def __init__(self, refused: Refused) -> None:
        Resource.__init__(self)
        self._refused = refused

    def render(self, request: Request) -> bytes:
        """Say it, whatever the method is."""
        if self._refused.status == 405:
            request.setHeader(b"Allow", b"GET, HEAD")
        if self._refused.status == 401:
            request.setHeader(b"WWW-Authenticate", b"Bearer")
        refuse(request, self._refused.status, self._refused.reason)
        return b""


class _Api(Resource):
    """What the page asks: the logs, and what is in them."""

    def __init__(
        self,
        reactor: ISearchReactor,
        daemon: Daemon[Client],
        sharing: Sharing,
        checks_users: ChecksUsers,
        patience: float,
    ) -> None:
        Resource.__init__(self)
        self._reactor = reactor
        self._daemon = daemon
        self._sharing = sharing
        self._checks_users = checks_users
        self._patience = patience
        self._listing = Listing(daemon, reactor)
        self._files = Files(reactor, daemon.another)
        self._searching = Searching(reactor, self._files)
        for name, answer in (
            ("list", self._list),
            ("follow", self._follow),
            ("window", self._window),
            ("download", self._download),
            ("boots", self._boots),
            ("events", self._events),
            ("locate", self._locate),
            ("timeline", self._timeline),
            ("times", self._times),
            ("search", self._search),
        ):
            self.putChild(name.encode(), Answering(answer))

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """Find a child, after a look at the user."""
        refused = self._checks_users.refusal(_asked(request))
        if refused is not None:
            return _Refusing(refused)
        return Resource.getChildWithDefault(self, path, request)  # type: ignore[no-any-return]

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Answer that there is no such thing."""
        return _Refusing(Refused(404, "there is no such question"))

    def close(self) -> None:
        """Ask nothing any more that nobody waits for."""
        self._listing.close()

    async def _list(self, request: Request) -> None:
        query = Query(request.args)
        order = query.text("order") or "path"
        if order not in ORDERS:
            raise MakesNoSense(f"order: it is one of {', '.join(ORDERS)}")
        wanted = Wanted(
            order,
            query.flag("reverse"),
            query.text("find") or "",
            query.whole("first", 0, 10**9),
            query.whole("count", 50, _MOST_ROWS),
        )
        with self._listing.looking(), self._stream(request) as stream:
            known: set[str] = set()
            before: Page | str | None = None
            while stream.is_wanted:
                now = self._listing.lost or self._page(wanted)
                if now is not None and now != before:
                    await stream.send(self._list_event(now, known))
                    before = now
                await self._listing.change()

    def _page(self, wanted: Wanted) -> Page | None:
        return self._listing.rows.page(wanted) if self._listing.is_known else None

    def _list_event(self, now: Page | str, known: set[str]) -> bytes:
        if isinstance(now, str):
            return event("lost", {"reason": now})
        # The rates of before come with the first row of a log; then each row has the next one.
        paths = [row.path for row in now.rows]
        rates = self._listing.rows.rates(path for path in paths if path not in known)
        known.clear()
        known.update(paths)
        return event("rows", {"page": now, "rates": rates})

    async def _follow(self, request: Request) -> None:
        query = Query(request.args)
        last = request.getHeader("Last-Event-ID")
        position = meaning("Last-Event-ID", last, place_of) if last else query.place("from")
        since = None if position is not None else query.time("since")
        path, most = query.path(), query.whole("skip", 0, _MOST_BEHIND)
        client = await self._daemon.client()
        skipping = Skipping(client, self._files, path, most)
        following = client.follow(path, position, since=since)
        try:
            begin = place_text(await following.started())
            with self._stream(request) as stream:
                if not stream.is_wanted:
                    return
                await stream.send(event("begin", {"at": begin}, begin))
                live = Live(stream, following, self._sharing, skipping, self._reactor, path)
                await live.send_all()
                await stream.send(event("end", {"reason": following.ended}))
        finally:
            await following.aclose()

    async def _window(self, request: Request) -> None:
        query = Query(request.args)
        path, count = query.path(), query.whole("bytes", MOST_BYTES // 2, MOST_BYTES)
        before, begin = query.place("before"), query.place("from")
        ahead = query.whole("ahead", 0, MOST_BYTES)
        client = await self._daemon.client()
        if query.text("before") is None:
            window = await window_from(client, self._files, path, begin, count)
        else:
            window = await window_before(client, self._files, path, before, count, ahead)
        for name, value in _window_headers(window).items():
            request.setHeader(name.encode(), value.encode())
        send(request, window.data, b"application/octet-stream")

    async def _download(self, request: Request) -> None:
        path = Query(request.args).path()
        client = await self._daemon.client()
        await download(request, self._reactor, client, self._files, path, self._patience)

    async def _boots(self, request: Request) -> None:
        client = await self._daemon.client()
        boots = await client.boots(Query(request.args).path())
        send_json(
            request,
            [
                {
                    "start": place_text(boot.start),
                    "opened_at": boot.opened_at,
                    "closed_at": boot.closed_at,
                    "guest": boot.domain.name if boot.domain else "",
                }
                for boot in boots
            ],
        )

    async def _events(self, request: Request) -> None:
        query = Query(request.args)
        path, after = query.path(), query.place("after")
        client = await self._daemon.client()
        happened = await client.events(path, query.time("since"))
        if after is not None:
            happened = later(await extent_of(client, self._files, path), happened, after)
        send_json(request, _events(happened))

    async def _locate(self, request: Request) -> None:
        query = Query(request.args)
        client = await self._daemon.client()
        ranges = await client.locate(query.path(), query.time("since"), query.time("until"))
        send_json(
            request,
            [
                {
                    "start": place_text(one.start),
                    "end": place_text(one.end),
                    "since": one.since,
                    "until": one.until,
                    "exact_s": one.exact_s,
                }
                for one in ranges
            ],
        )

    async def _timeline(self, request: Request) -> None:
        query = Query(request.args)
        paths = query.paths(_MOST_LOGS_OF_A_GUEST)
        columns = query.whole("columns", 600, MOST_COLUMNS)
        client = await self._daemon.client()
        left_out = 0
        if query.flag("guest"):
            paths = await _of_the_same_guest(client, paths[0])
            left_out = max(0, len(paths) - _MOST_LOGS_OF_A_GUEST)
            paths = paths[:_MOST_LOGS_OF_A_GUEST]
        known = []
        happened = []
        for path in paths:
            try:
                times = await client.times(path)
                events = _events(await client.events(path))
            except RemoteError as error:
                # (another log of the guest may have been removed meanwhile)
                if error.code != NO_SUCH_LOG or path == paths[0]:
                    raise
                continue
            known.append((await extent_of(client, self._files, path), times))
            happened += [{"path": path, **one} for one in events]
        when = [one["time"] for one in happened]
        made = timeline(known, columns, query.time("since"), query.time("until"), when)
        answer: dict[str, Any] = {
            "paths": paths,
            "left_out": left_out,
            "columns": [],
            "events": happened,
        }
        if made is not None:
            answer |= {"since": made.since, "until": made.until, "columns": made.columns}
        send_json(request, answer)

    async def _times(self, request: Request) -> None:
        query = Query(request.args)
        path, start, end = query.path(), query.place("from"), query.place("to")
        if start is None or end is None:
            raise MakesNoSense("from, to: a part of the log is needed")
        client = await self._daemon.client()
        extent = await extent_of(client, self._files, path)
        marks = await client.times(path, *around(extent, start, end))
        send_json(request, list(times_before(extent, end, marks)))

    async def _search(self, request: Request) -> None:
        query = Query(request.args)
        pattern = query.text("find")
        if not pattern:
            raise MakesNoSense("find: what is to be found is needed")
        sought = Sought(pattern, query.flag("regex"), query.flag("ignore_case"))
        client = await self._daemon.client()
        found = await self._searching.search(client, query.path(), sought)
        lines = [{"at": place_text(line.at), "text": line.text} for line in found.lines]
        send_json(request, {"lines": lines, "ended_by": found.ended_by})

    def _stream(self, request: Request) -> EventStream:
        return EventStream(request, self._reactor, self._patience)


async def _of_the_same_guest(client: Client, path: str) -> list[str]:
    """Return the paths of all logs of the guest whose log is named; that one is the first."""
    logs = await client.list(closed=True)
    domain = next((log.domain for log in logs if log.path == path), None)
    others = [] if domain is None else [log.path for log in logs if log.domain == domain]
    return [path, *(other for other in others if other != path)]


def _events(happened: Sequence[LogEvent]) -> list[dict[str, Any]]:
    return [
        {
            "at": place_text(one.position),
            "time": one.time,
            "kind": one.kind,
            "bytes": one.bytes,
        }
        for one in happened
    ]


def _window_headers(window: Window) -> dict[str, str]:
    headers = {
        "Virtlog-Gap": str(int(window.gap)),
        "Virtlog-Before": str(window.before),
        "Virtlog-Size": str(window.size),
    }
    if window.start is not None:
        headers["Virtlog-Start"] = place_text(window.start)
    if window.end is not None:
        headers["Virtlog-End"] = place_text(window.end)
    return headers


def _mount(root: Resource, named: Sequence[tuple[str, Resource]]) -> None:
    """Put resources where their names say, with a resource for each directory."""
    for name, resource in named:
        at = root
        *directories, last = name.split("/")
        for directory in directories:
            key = directory.encode()
            if key not in at.children:
                at.putChild(key, Resource())
            at = at.children[key]
        at.putChild(last.encode(), resource)


def _asked(request: Request) -> Asked:
    def header(name: str) -> str | None:
        values = request.requestHeaders.getRawHeaders(name)
        if values is None:
            return None
        return values[0] if len(values) == 1 else ""

    return Asked(request.method, header)
