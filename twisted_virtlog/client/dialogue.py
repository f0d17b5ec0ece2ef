"""What is said on one connection, without the connection: bytes in, replies and news out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from twisted_virtlog.client.call import Call
from twisted_virtlog.client.errors import BadAnswer, BadRequest, ClientError, RemoteError
from twisted_virtlog.client.notifications import Notification, bytes_told, notification

#: The longest text that the daemon accepts.
MAX_REQUEST_BYTES = 16 * 1024 * 1024
#: More than the longest that it sends: 4 MiB of control characters, six bytes each, are 24 MiB.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
#: From here on it is quicker to look for the bytes of a log first.
_LONG_TEXT_BYTES = 1024

_MISSING = msgspec.Raw()


class _Error(msgspec.Struct):
    code: int
    message: str
    data: Any = None


class _Answer(msgspec.Struct):
    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = _MISSING
    result: msgspec.Raw = _MISSING
    error: _Error | None = None


class _Promise(msgspec.Struct):
    fds: int = 0


@dataclass(frozen=True)
class Reply:
    """The end of one request.

    :ivar id: the request's.
    :ivar outcome: the call's result, or the error to raise.
    :ivar descriptors: those that came with it. Whoever takes the reply owns them: they are part of
        the result, or must be closed if ``outcome`` is an error or is not wanted.
    """

    id: int
    outcome: Any
    descriptors: tuple[int, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the outcome is an error."""
        return isinstance(self.outcome, ClientError)


class Dialogue:
    """Matches answers with requests, and descriptors with the answers that announce them.

    Descriptors form a queue of their own beside the bytes. The daemon sends them before the newline
    that ends their answer, so they have arrived when the answer is complete.
    """

    def __init__(self) -> None:
        self._calls: dict[int, Call[Any]] = {}
        self._last_id = 0
        self._input = bytearray()
        self._searched = 0
        self._descriptors: deque[int] = deque()
        self._answers = msgspec.json.Decoder(_Answer)
        self._promises = msgspec.json.Decoder(_Promise)

    def request(self, call: Call[Any]) -> tuple[int, bytes]:
        """Encode a request, and remember it until it is answered.

        :returns: its id and the bytes to send.
        :raises BadRequest: it cannot be encoded, or is too long.
        """
        number = self._last_id + 1
        request = {"jsonrpc": "2.0", "id": number, "method": call.method}
        if call.params:
            request["params"] = call.params
        try:
            text = msgspec.json.encode(request) + b"\n"
        except UnicodeEncodeError as error:
            raise BadRequest(
                f"{call.method}: {error.object!r} cannot be encoded in UTF-8"
            ) from error
        if len(text) > MAX_REQUEST_BYTES:
            raise BadRequest(
                f"{call.method}: the request has {len(text)} bytes; at most {MAX_REQUEST_BYTES}"
                " can be sent"
            )
        self._last_id = number
        self._calls[number] = call
        return number, text

    def add_descriptors(self, descriptors: Iterable[int]) -> None:
        """Take descriptors that arrived; call this before :meth:`receive` with their bytes."""
        self._descriptors.extend(descriptors)

    def receive(self, data: bytes) -> Iterator[Reply | Notification]:
        """Take bytes, however they are split, and yield what they complete, in order.

        Whoever stops in the middle gets the rest from the next call. Notifications that are not
        known come from a newer daemon, and are left out.

        :raises BadAnswer: what the daemon sends cannot be matched with the requests. No later
            answer can be trusted, and the connection must be closed.
        """
        self._input += data
        return self._all_said()

    def abandon(self) -> list[int]:
        """Forget all requests, as the connection has ended.

        :returns: the descriptors that no answer took; the caller must close them.
        """
        descriptors = list(self._descriptors)
        self._calls.clear()
        self._descriptors.clear()
        self._input.clear()
        self._searched = 0
        return descriptors

    def _all_said(self) -> Iterator[Reply | Notification]:
        while (end := self._input.find(b"\n", self._searched)) >= 0:
            text = bytes(memoryview(self._input)[:end])
            del self._input[: end + 1]
            self._searched = 0
            said = self._said(text) if text else None
            # (it may be long, and is of no use to whoever takes what was said)
            del text
            if said is not None:
                yield said
        self._searched = len(self._input)
        if self._searched > MAX_ANSWER_BYTES:
            raise BadAnswer(f"the daemon sent {self._searched} bytes without a newline")

    def _said(self, text: bytes) -> Reply | Notification | None:
        if len(text) >= _LONG_TEXT_BYTES and (told := bytes_told(text)) is not None:
            return told
        try:
            answer = self._answers.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(
                f"the daemon sent something that is not an answer: {error}: {text[:80]!r}"
            ) from error
        if answer.method is not None:
            return notification(answer.method, answer.params)
        number = self._number(answer)
        call = self._calls.pop(number)
        if answer.error is not None:
            wrong = answer.error
            return Reply(number, RemoteError(wrong.code, wrong.message, wrong.data))
        return self._result(number, call, answer.result)

    def _number(self, answer: _Answer) -> int:
        if isinstance(answer.id, int) and answer.id in self._calls:
            return answer.id
        # The daemon gives no id if it could not read the request. Answers come in the order of the
        # requests, so it is the oldest one.
        if answer.id is None and answer.error is not None and self._calls:
            return min(self._calls)
        raise BadAnswer(f"the daemon answered request {answer.id!r}, which is not pending")

    def _result(self, number: int, call: Call[Any], result: msgspec.Raw) -> Reply:
        promised = self._promised(call, result)
        if promised > len(self._descriptors):
            raise BadAnswer(
                f"{call.method} was answered with {promised} descriptors announced, but"
                f" {len(self._descriptors)} arrived; this process may have reached its limit"
            )
        descriptors = tuple(self._descriptors.popleft() for _ in range(promised))
        try:
            if promised < call.descriptors:
                raise BadAnswer(f"{call.method} was answered without a descriptor")
            return Reply(number, call.decode(result, descriptors), descriptors)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            outcome = BadAnswer(f"{call.method} was answered with an invalid result: {error}")
            return Reply(number, outcome, descriptors)
        except BadAnswer as error:
            return Reply(number, error, descriptors)

    def _promised(self, call: Call[Any], result: msgspec.Raw) -> int:
        if bytes(result)[:1] != b"{":
            return 0
        try:
            promise: _Promise = self._promises.decode(result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(
                f"{call.method} was answered with unexpected descriptors: {error}"
            ) from error
        if promise.fds < 0:
            raise BadAnswer(f"{call.method} was answered with {promise.fds} descriptors")
        return promise.fds
