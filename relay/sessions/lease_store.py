"""Leases that several nodes share, in a Valkey or Redis server: one script decides, so no race can exceed a limit.

Per group there is a sorted set, of leases by when they end, and a hash of what each is; both expire by themselves.
Ended sessions rest in the same set. Times are the server's own, so the clocks of the nodes do not matter.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from relay.gate.limits import MIN_PREFIX, REST_LEASES, Admitted, Ask, Ended, Outcome, others_of
from relay.sessions.leases import StoreAwayError

TIMEOUT_S = 0.2
"""A server that answers no sooner is out of reach: no viewer waits for it."""
_BATCH = 256

# Members: L<sid> holds a lease, E<sid> has been ended and rests. Field # of the hash numbers admissions, which puts
# those of the same millisecond in order. What is decided, and why, stands in relay.gate.limits.
_ADMIT = """
local set, about = KEYS[1], KEYS[2]
local sid, device, stream, terminate = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local most, mode, by_device = tonumber(ARGV[5]), ARGV[6], ARGV[7] == 'devices'
local lease, rest, entering, since = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10] == '1', tonumber(ARGV[11])
local shortest = tonumber(ARGV[12])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function forget(member)
    redis.call('ZREM', set, member)
    redis.call('HDEL', about, member)
end

local function finish(other)
    forget('L' .. other)
    redis.call('ZADD', set, now + rest, 'E' .. other)
end

local function hold(fields)
    redis.call('ZREM', set, 'E' .. sid)
    redis.call('ZADD', set, now + lease, 'L' .. sid)
    redis.call('HSET', about, 'L' .. sid, cmsgpack.pack(fields))
    for _, key in ipairs(KEYS) do
        if redis.call('PTTL', key) < lease + rest then redis.call('PEXPIRE', key, lease + rest) end
    end
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', now)) do forget(member) end

local mine, holders = nil, {}
local members = redis.call('ZRANGE', set, 0, -1, 'WITHSCORES')
for at = 1, #members, 2 do
    local packed = redis.call('HGET', about, members[at])
    if packed then
        local holder = cmsgpack.unpack(packed)
        holder.sid, holder.ends = string.sub(members[at], 2), tonumber(members[at + 1])
        if holder.sid == sid then mine = holder else table.insert(holders, holder) end
    end
end
table.sort(holders, function(a, b)
    if a.since ~= b.since then return a.since < b.since end
    return a.number < b.number
end)

local stopped, replaced = {}, {}
if mode == 'ask' and terminate ~= '' then
    local named, found = nil, 0
    for at, holder in ipairs(holders) do
        if holder.sid == terminate then named, found = at, 1 break end
        if #terminate >= shortest and string.sub(holder.sid, 1, #terminate) == terminate then
            named, found = at, found + 1
        end
    end
    if found == 1 then
        table.insert(stopped, holders[named].sid)
        finish(holders[named].sid)
        table.remove(holders, named)
    end
end

if mine then
    hold({device = mine.device, stream = stream, since = mine.since, number = mine.number})
    return {'admitted', mine.since, stopped, replaced}
end
if not entering and redis.call('ZSCORE', set, 'E' .. sid) then return {'ended'} end

local slots, slot_of = {}, {}
for _, holder in ipairs(holders) do
    local name = (by_device and holder.device ~= '') and ('d' .. holder.device) or ('s' .. holder.sid)
    if not slot_of[name] then
        slot_of[name] = {}
        table.insert(slots, slot_of[name])
    end
    table.insert(slot_of[name], holder)
end
local excess = #slots + 1 - most
if excess > 0 and not (by_device and device ~= '' and slot_of['d' .. device]) then
    local own = {}
    for _, holder in ipairs(holders) do
        if device ~= '' and holder.device == device then table.insert(own, holder) end
    end
    table.sort(own, function(a, b) return a.ends < b.ends end)
    if #own >= excess then
        for at = 1, excess do table.insert(replaced, own[at].sid) end
    elseif mode == 'stop_oldest' then
        for at = 1, excess do
            for _, holder in ipairs(slots[at]) do table.insert(stopped, holder.sid) end
        end
    else
        local others = {}
        for _, holder in ipairs(holders) do
            table.insert(others, {holder.sid, holder.device, holder.stream, holder.since})
        end
        return {'occupied', others}
    end
    for _, other in ipairs(replaced) do finish(other) end
    for _, other in ipairs(stopped) do finish(other) end
end
if since <= 0 or since > now then since = now end
hold({device = device, stream = stream, since = since, number = redis.call('HINCRBY', about, '#', 1)})
return {'admitted', since, stopped, replaced}
"""

_END = """
local rest = tonumber(ARGV[2])
local time = redis.call('TIME')
redis.call('ZREM', KEYS[1], 'L' .. ARGV[1])
redis.call('HDEL', KEYS[2], 'L' .. ARGV[1])
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + rest, 'E' .. ARGV[1])
if redis.call('PTTL', KEYS[1]) < rest then redis.call('PEXPIRE', KEYS[1], rest) end
return {'ended'}
"""


@dataclass(frozen=True, slots=True)
class _Call:
    script: str
    group: bytes
    arguments: tuple[bytes, ...]
    answer: "asyncio.Future[Outcome]"


class LeaseStore:
    """The shared leases. Calls made at about the same time travel together, on one connection.

    ``url`` is that of the server; ``namespace`` begins every key. Fails with nothing but :class:`StoreAwayError`.
    """

    def __init__(self, url: str, password: str = "", namespace: str = "segmentgate") -> None:
        self._client = Redis.from_url(
            url,
            password=password or None,
            decode_responses=True,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._namespace = namespace
        self._urgent: list[_Call] = []
        self._waiting: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None
        self._loaded: dict[str, str] = {}

    def admit(self, group: bytes, ask: Ask, urgent: bool = False) -> "asyncio.Future[Outcome]":
        """Ask for a slot or renew a lease, as :meth:`relay.gate.limits.Group.admit` does.

        An ``urgent`` call overtakes the others: someone waits for it.
        """
        lease_ms = round(ask.lease_s * 1000)
        arguments = (
            ask.sid,
            ask.device,
            ask.stream,
            ask.terminate,
            ask.limit.most,
            ask.limit.mode.value,
            ask.limit.count.value,
            lease_ms,
            lease_ms * REST_LEASES,
            int(ask.entering),
            round(ask.since * 1000),
            MIN_PREFIX,
        )
        return self._call(_ADMIT, group, arguments, self._urgent if urgent else self._waiting)

    def end(self, group: bytes, sid: str, rest_s: float) -> "asyncio.Future[Outcome]":
        """Take a session's slot, and keep it from coming back by mere requests for ``rest_s``."""
        return self._call(_END, group, (sid, round(rest_s * 1000)), self._waiting)

    async def check(self) -> None:
        """Return if leases can be written."""
        await self._call(_END, bytes(16), ("", 1000), self._urgent)

    async def close(self) -> None:
        """Drop what waits and close the connection."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        for call in (*self._urgent, *self._waiting):
            call.answer.cancel()
        await self._client.aclose()

    def _call(
        self, script: str, group: bytes, arguments: tuple[str | int, ...], queue: list[_Call]
    ) -> "asyncio.Future[Outcome]":
        # Encoded here, so that text which cannot be fails this call and not those that travel with it.
        encoded = tuple(str(argument).encode() for argument in arguments)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        queue.append(_Call(script, group, encoded, answer))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all())
        return answer

    async def _send_all(self) -> None:
        while queue := self._urgent or self._waiting:
            calls = queue[:_BATCH]
            del queue[:_BATCH]
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    replies = await self._send(calls)
            except (RedisError, OSError, TimeoutError, UnicodeDecodeError) as err:
                replies = [err] * len(calls)
            except asyncio.CancelledError:
                queue += calls
                raise
            for call, reply in zip(calls, replies, strict=True):
                if call.answer.done():
                    continue
                if isinstance(reply, Exception):
                    call.answer.set_exception(StoreAwayError(type(reply).__name__))
                    continue
                try:
                    call.answer.set_result(_outcome(reply))
                except (ValueError, TypeError):
                    call.answer.set_exception(StoreAwayError("a reply that makes no sense"))

    async def _send(self, calls: Sequence[_Call]) -> list[Any]:
        replies = await self._pipe(calls)
        again = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if again:
            # The server was started anew since the scripts were loaded.
            self._loaded.clear()
            for at, reply in zip(again, await self._pipe([calls[at] for at in again]), strict=True):
                replies[at] = reply
        return replies

    async def _pipe(self, calls: Sequence[_Call]) -> list[Any]:
        for script in {call.script for call in calls} - self._loaded.keys():
            self._loaded[script] = await self._client.script_load(script)
        async with self._client.pipeline(transaction=False) as pipe:
            for call in calls:
                # The braces keep both keys of a group on one server of a cluster.
                key = f"{self._namespace}:lease:{{{call.group.hex()}}}"
                pipe.evalsha(self._loaded[call.script], 2, key, f"{key}:about", *call.arguments)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
            return replies


def _outcome(reply: Sequence[Any]) -> Outcome:
    match reply:
        case ["admitted", int(since), [*stopped], [*replaced]]:
            return Admitted(since / 1000, tuple(stopped), tuple(replaced))
        case ["occupied", [*holders]]:
            return others_of([(sid, device, stream, since / 1000) for sid, device, stream, since in holders])
        case ["ended"]:
            return Ended()
        case _:
            raise ValueError("no reply of these scripts")
