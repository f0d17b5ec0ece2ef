"""Answers of twisted.web from coroutines: what they return, what they raise, and who has gone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from twisted_virtlog.client import ClientError, Disconnected, RemoteError, Unreachable
from twisted_virtlog.web.queries import MakesNoSense

_log = Logger()

_JSON = b"application/json"

#: What the daemon's errors are in HTTP; all else that it refuses is 502.
_STATUSES = {1002: 404, 1003: 502, 1004: 503, 1005: 503, 1011: 403, -32602: 400}

#: Answers a request; what it asks for must make sense, or it raises MakesNoSense.
Answer = Callable[[Request], "Coroutine[Any, Any, None]"]


class Answering(Resource):
    """A leaf whose requests are answered by a coroutine, which is cancelled if the client goes."""

    isLeaf = True

    def __init__(self, answer: Answer) -> None:
        Resource.__init__(self)
        self._answer = answer

    def render_GET(self, request: Request) -> int:
        """Begin with the answer."""
        answered = Deferred.fromCoroutine(self._answer(request))
        gone = request.notifyFinish()
        gone.addErrback(lambda _reason: answered.cancel())
        answered.addErrback(_refuse, request)
        answered.addCallback(lambda _none: _finish(request))
        return NOT_DONE_YET


def send_json(request: Request, value: object) -> None:
    """Answer with a value."""
    send(request, msgspec.json.encode(value), _JSON)


def send(request: Request, body: bytes, media_type: bytes) -> None:
    """Answer with bytes that are not to be kept."""
    request.setHeader(b"Content-Type", media_type)
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    if request.method != b"HEAD":
        request.write(body)


def without_encoder(request: Request) -> None:
    """Let an answer be sent as it is, even in a site that has an encoder around everything.

    Twisted's for gzip keeps what it is given until it has much.
    """
    request._encoder = None  # noqa: SLF001  (it has no public name, nor another way to stop it)
    request.responseHeaders.removeHeader(b"Content-Encoding")


def refuse(request: Request, status: int, reason: str) -> None:
    """Answer that a request is not carried out, and why."""
    request.setResponseCode(status)
    send_json(request, {"error": reason})


def failed(reason: BaseException | None) -> tuple[int, str]:
    """Return the status that says that something failed, and for people why."""
    if isinstance(reason, MakesNoSense):
        return 400, str(reason)
    if isinstance(reason, RemoteError):
        return _STATUSES.get(reason.code, 502), reason.message
    if isinstance(reason, Unreachable | Disconnected):
        return 503, str(reason)
    if isinstance(reason, ClientError):
        return 502, str(reason)
    return 500, "the page's program has made a mistake, which its log tells"


def _refuse(failure: Failure, request: Request) -> None:
    if failure.check(CancelledError) and _has_gone(request):
        return
    status, reason = failed(failure.value)
    if status == 500:
        _log.failure("{uri} was not answered", failure, uri=request.uri)
    if _has_gone(request):
        return
    if request.startedWriting:
        # What was sent is not all, and must not look as if it were.
        abort(request)
    else:
        refuse(request, status, reason)


def abort(request: Request) -> None:
    """Break a connection off, so that whoever reads sees that something is missing."""
    transport: Any = request.transport
    transport.abortConnection()


def _has_gone(request: Request) -> bool:
    return not request.finished and request.channel is None


def _finish(request: Request) -> None:
    if not request.finished and request.channel is not None:
        request.finish()


class Drain:
    """Waits while a request's client does not take what was sent; an IPushProducer.

    :param patience: seconds after which one that takes nothing is given up.
    :ivar is_paused: whether the client has yet to take what was sent.
    """

    def __init__(self, request: Request, clock: IReactorTime, patience: float) -> None:
        self._request = request
        self._clock = clock
        self._patience = patience
        self._waiting: Deferred[bool] | None = None
        self._giving_up: IDelayedCall | None = None
        self.is_paused = False

    async def ready(self, seconds: float | None = None) -> bool:
        """Wait until more may be sent; one at a time.

        :param seconds: for no longer than this; None for as long as it takes.
        :returns: whether more may be sent.
        """
        if not self.is_paused:
            return True
        waiting = self._waiting = Deferred()
        late = None if seconds is None else self._clock.callLater(seconds, self._wake, False)
        try:
            return await waiting
        finally:
            if late is not None and late.active():
                late.cancel()

    def pauseProducing(self) -> None:
        """Let the one who sends wait."""
        if not self.is_paused:
            self.is_paused = True
            self._giving_up = self._clock.callLater(self._patience, self._give_up)

    def resumeProducing(self) -> None:
        """Let the one who waits go on."""
        self._forget_time()
        self.is_paused = False
        self._wake(True)

    def stopProducing(self) -> None:
        """Know that the client has gone, which cancels the answer."""
        self._forget_time()

    def _wake(self, is_ready: bool) -> None:
        waiting, self._waiting = self._waiting, None
        # (it has been called if it was cancelled)
        if waiting is not None and not waiting.called:
            waiting.callback(is_ready)

    def _give_up(self) -> None:
        self._giving_up = None
        abort(self._request)

    def _forget_time(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
        self._giving_up = None
