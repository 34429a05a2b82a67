"""A process with a :class:`Desk`, and the socket by which the relay's event loop talks to it.

Calls wait in the socket and are answered in their order; each, and each answer, is a length of 4 bytes and a value in
MessagePack, which takes half the time of pickling.
"""

import asyncio
import os
import signal
import socket
import threading
from collections import deque
from multiprocessing import get_context, parent_process
from multiprocessing.context import SpawnProcess
from typing import cast

from msgspec import Struct, msgpack

from keys.licences.detect import DrmSystem
from relay.licensing.desk import Desk, Made, Opened, Order, Refusal
from relay.licensing.material import Material

START_S = 30.0
"""The longest that a process may take to begin."""
NICE = 5
_LENGTH_BYTES = 4


class ProcessLostError(Exception):
    """The process ended, or was ended for taking too long."""


class Open(Struct, frozen=True, tag=True, array_like=True):
    """:meth:`Desk.open`."""

    system: DrmSystem
    challenge: bytes
    now: float


class Make(Struct, frozen=True, tag=True, array_like=True):
    """:meth:`Desk.make`."""

    ticket: int
    order: Order | None
    now: float


class Drop(Struct, frozen=True, tag=True, array_like=True):
    """:meth:`Desk.drop`."""

    ticket: int


Call = Open | Make | Drop


class Answer(Struct, frozen=True, array_like=True):
    """What a call gave. ``failure`` is the type of an exception that should not have been; its text may be secret."""

    opened: Opened | None = None
    made: Made | None = None
    refusal: Refusal | None = None
    failure: str = ""


_calls = msgpack.Decoder(Call)
_answers = msgpack.Decoder(Answer)
_encoder = msgpack.Encoder()


class DeskProcess(asyncio.Protocol):
    """One process at work. Whatever takes it longer than ``limit_s`` costs it its life."""

    def __init__(self, process: SpawnProcess, limit_s: float) -> None:
        self._process = process
        self._limit_s = limit_s
        self._asked: deque[asyncio.Future[Answer]] = deque()
        self._heard = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._late = False
        self._transport: asyncio.Transport | None = None
        self._ending: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    @classmethod
    async def start(cls, material: Material, limit_s: float) -> "DeskProcess":
        """Start one, off the event loop. Raises :class:`ProcessLostError`."""
        ours, process = await asyncio.to_thread(_spawn, material)
        desk = cls(process, limit_s)
        begun = desk._expected()
        await asyncio.get_running_loop().create_unix_connection(lambda: desk, sock=ours)
        try:
            async with asyncio.timeout(START_S):
                await begun
        except (TimeoutError, ProcessLostError):
            process.kill()
            raise ProcessLostError(await asyncio.to_thread(_ended, process, "did not begin")) from None
        return desk

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    @property
    def lost(self) -> bool:
        """Whether it has ended."""
        return self._ending is not None

    def ask(self, call: Call) -> asyncio.Future[Answer]:
        """What a call will give. Raises :class:`ProcessLostError`, and so may the answer."""
        if self._transport is None or self.lost:
            raise ProcessLostError("ended")
        answer = self._expected()
        self._transport.write(_framed(call))
        if self._timer is None:
            self._await_answer()
        return answer

    async def close(self) -> None:
        """End the process when it has done what it was asked."""
        if self._asked:
            await asyncio.wait(list(self._asked))
        if self._transport is not None:
            self._transport.close()
        await self._ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Give every answer that is whole to whoever waits for it."""
        self._heard += data
        while len(self._heard) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._heard[:_LENGTH_BYTES])
            if len(self._heard) < end:
                return
            found = _answers.decode(self._heard[_LENGTH_BYTES:end])
            del self._heard[:end]
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            answer = self._asked.popleft()
            if self._asked:
                self._await_answer()
            # Whoever asked may have gone away.
            if not answer.done():
                answer.set_result(found)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait that there will be no answer."""
        if self._timer is not None:
            self._timer.cancel()
        self._ending = asyncio.create_task(self._end())

    def _expected(self) -> asyncio.Future[Answer]:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        return answer

    def _await_answer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._take_too_long)

    def _take_too_long(self) -> None:
        self._late = True
        self._process.kill()

    async def _end(self) -> None:
        how = f"took longer than {self._limit_s:g} s" if self._late else "ended"
        told = await asyncio.to_thread(_ended, self._process, how)
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(ProcessLostError(told))
        self._asked.clear()
        self._ended.set()


def _spawn(material: Material) -> tuple[socket.socket, SpawnProcess]:
    ours, theirs = socket.socketpair()
    process = get_context("spawn").Process(target=serve, args=(theirs, material), name="licences", daemon=True)
    try:
        process.start()
    except OSError as err:
        ours.close()
        raise ProcessLostError(f"cannot be started: {err.strerror}") from None
    finally:
        theirs.close()
    ours.setblocking(False)
    return ours, process


def _ended(process: SpawnProcess, how: str) -> str:
    # A moment, for a process that is ending to say how it does.
    process.join(0.5)
    process.kill()
    process.join()
    return f"{how} (exit code {process.exitcode})"


def _framed(value: Call | Answer) -> bytes:
    encoded = _encoder.encode(value)
    return len(encoded).to_bytes(_LENGTH_BYTES) + encoded


def serve(connection: socket.socket, material: Material) -> None:
    """What the process does: answer requests until the relay has let go of it."""
    # A terminal's Ctrl-C reaches all processes; this one ends with the relay's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_relay, daemon=True).start()
    # Where processors are short, segments come first; a licence in time still gets a third of a share.
    os.nice(NICE)
    desk = Desk(material)
    connection.setblocking(True)
    requests = connection.makefile("rb")
    connection.sendall(_framed(Answer()))
    while length := requests.read(_LENGTH_BYTES):
        call = _calls.decode(requests.read(int.from_bytes(length)))
        connection.sendall(_framed(_answer(desk, call)))


def _answer(desk: Desk, call: Call) -> Answer:
    try:
        match call:
            case Open():
                found: Opened | Made | Refusal = desk.open(call.system, call.challenge, call.now)
            case Make():
                found = desk.make(call.ticket, call.order, call.now)
            case Drop():
                desk.drop(call.ticket)
                return Answer()
    except Exception as err:
        # Of a plug-in, say.
        return Answer(failure=type(err).__name__)
    match found:
        case Opened():
            return Answer(opened=found)
        case Made():
            return Answer(made=found)
        case Refusal():
            return Answer(refusal=found)


def _end_with_relay() -> None:
    # The socket's end tells a process that waits; one that is at work, or hangs, does not look.
    relay = parent_process()
    if relay:
        relay.join()
        os._exit(0)
