"""Has messages stored by JetStream, many at a time, and hears by one inbox what became of each.

(nats-py has two ways of its own: one takes as long for an answer as for the message, and the other
never ends if the server answers with an error.)
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from twisted_virtlog.ship.sink import Overtaken, Refused, Unavailable

#: A message is answered within this time, or nobody knows what became of it.
ANSWER_SECONDS = 10.0

#: What stands last on the subject is not what was expected.
_WRONG_LAST = 10071
#: What is wrong with the message itself, whatever the time: it is too long.
_REFUSALS = frozenset({10054, 10063})

#: What the server says itself where nobody stores what is published.
_STATUS, _NOBODY = "Status", "503"


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    seq: int = 0
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def stored_number(data: bytes, headers: Mapping[str, str] | None) -> int:
    """Return the number of a message that was stored, by what the server has answered.

    :raises Overtaken: something else stands where it was to be stored.
    :raises Refused: it cannot be stored.
    :raises Unavailable: it was not stored now.
    """
    if headers is not None and headers.get(_STATUS) == _NOBODY:
        raise Unavailable("no stream takes what is published")
    try:
        answer = _decode(data)
    except msgspec.DecodeError as error:
        raise Unavailable(f"the server's answer cannot be understood: {error}") from error
    if answer.error is None:
        return answer.seq
    if answer.error.err_code == _WRONG_LAST:
        raise Overtaken(answer.error.description)
    if answer.error.err_code in _REFUSALS:
        raise Refused(answer.error.description)
    raise Unavailable(answer.error.description)


class Stores:
    """The messages that are under way."""

    def __init__(self, client: Client) -> None:
        """Hear nothing before :meth:`begin`."""
        self._client = client
        self._prefix = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Msg | None]] = {}

    async def begin(self) -> None:
        """Listen for answers, over a connection that is there."""
        inbox = self._client.new_inbox()
        self._prefix = f"{inbox}."
        await self._client.subscribe(f"{inbox}.*", cb=self._answered)

    async def store(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        """Have a message stored; return its number.

        :raises Overtaken: see :func:`stored_number`, likewise Refused.
        :raises Unavailable: it is not stored now, or nobody knows.
        :raises nats.errors.Error: it cannot be sent.
        """
        loop = asyncio.get_running_loop()
        token = str(next(self._numbers))
        answered = self._waiting[token] = loop.create_future()
        late = loop.call_later(ANSWER_SECONDS, self._give_up, token)
        try:
            reply = self._prefix + token
            await self._client.publish(subject, data, reply=reply, headers=headers)
            answer = await answered
        finally:
            late.cancel()
            self._waiting.pop(token, None)
        if answer is None:
            raise Unavailable("the server does not answer")
        return stored_number(answer.data, answer.headers)

    def lost(self) -> None:
        """Take note that the connection is lost: nobody knows what became of what is under way."""
        for token in list(self._waiting):
            self._give_up(token)

    async def _answered(self, answer: Msg) -> None:
        self._tell(answer.subject.rpartition(".")[2], answer)

    def _give_up(self, token: str) -> None:
        self._tell(token, None)

    def _tell(self, token: str, answer: Msg | None) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
