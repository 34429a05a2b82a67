"""The till: takes what shops tell of, once, and answers when every node knows or cannot be reached."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

import structlog

from relay.errors import RefusedError
from relay.purchases.ledger import Ledger
from relay.purchases.records import EVENT_KIND, RETURN_KIND, RETURNED_S, EventType, Return, Sale, encode
from relay.state.drafts import DocumentDraft
from relay.state.log import LogError
from relay.state.registry import Put, Registry
from relay.state.replica import Replica, Wait
from relay.verdict import Reason

ANSWER_S = 5.0
"""How long an answer waits for nodes that do not report. By then such a node knows that it may lack something
(:meth:`Replica.is_sure`), and turns nobody away for good who has bought: shorter would break that."""
CLAIM_S = 1.0
_FIRST = Struct(">16sd")
_log = structlog.get_logger()


class SoldOtherwiseError(Exception):
    """What is known says something else: of this event, or of whose purchase it takes back."""


class NotCaughtUpError(RefusedError):
    """This node does not know yet what was told to others: 503, and right to repeat, here or elsewhere."""

    reason = Reason.STATE_STALE


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an event. ``sale`` is what stands, ``repeated``: it was known before."""

    sale: Sale
    put: Put
    repeated: bool


class Till:
    """Takes events on one node. ``clock`` gives seconds since the epoch."""

    def __init__(self, ledger: Ledger, registry: Registry, replica: Replica, clock: Callable[[], float]) -> None:
        self.ledger = ledger
        self._registry = registry
        self._replica = replica
        self._clock = clock
        self._running: dict[str, tuple[bytes, asyncio.Task[Taken]]] = {}

    async def take(self, accept: Callable[[float], Sale], actor: str) -> Taken:
        """Take an event, unless it was taken before, here or elsewhere; durable here when this returns.

        ``accept`` makes the event as it would be if it were accepted at a time; of events under one name only that may
        make a difference. Goes on to the end even if the caller goes away. Raises :class:`SoldOtherwiseError`,
        :class:`NotCaughtUpError`, and what :meth:`Registry.put` raises.
        """
        if not self._replica.ready:
            raise NotCaughtUpError("purchases told to other nodes are not all known here yet; try again")
        sale = accept(self._clock())
        name = sale.name
        if name in self._running:
            content, task = self._running[name]
            _check_content(content, sale)
            taken = await asyncio.shield(task)
            return Taken(taken.sale, taken.put, True)
        # Between here and its end the event is found above.
        task = asyncio.ensure_future(self._take(accept, sale, actor))
        self._running[name] = sale.content, task
        task.add_done_callback(lambda _: self._running.pop(name))
        return await asyncio.shield(task)

    async def take_back(self, sale: Sale, actor: str) -> Put:
        """Take a purchase back, as an operator does who was told by no shop."""
        return await self._put([self._return_of(sale, actor)])

    async def _take(self, accept: Callable[[float], Sale], sale: Sale, actor: str) -> Taken:
        known = self.ledger.find(sale.name, self._clock())
        if known is None:
            self._check_owner(sale)
            sale, repeated = await self._claim(accept, sale), False
            # Another node may have been first, and told of it meanwhile.
            known = self.ledger.find(sale.name, self._clock())
        if known is not None:
            _check_content(known.content, sale)
            sale, repeated = known, True
        # Again also what is known: so whoever asks again hears whether all nodes have it by now.
        put = await self._put(self._drafts(sale, actor))
        if not repeated:
            _log.info("purchase_taken", type=sale.type, channel=sale.channel, id=sale.name, complete=put.complete)
        return Taken(sale, put, repeated)

    def _check_owner(self, sale: Sale) -> None:
        bought = self.ledger.find(sale.usual_purchase_event, self._clock())
        if bought is None or sale.type is EventType.PURCHASE:
            return
        if (bought.issuer, bought.account) != (sale.issuer, sale.account):
            # Taken, it would take nothing back, and nobody would notice.
            raise SoldOtherwiseError("the purchase that it takes back is another account's")

    async def _claim(self, accept: Callable[[float], Sale], sale: Sale) -> Sale:
        """The event as the first node accepted it that was told of it: all answer alike, though all at once."""
        mine = _FIRST.pack(sale.content, sale.accepted_at)
        try:
            async with asyncio.timeout(CLAIM_S):
                content, accepted_at = _FIRST.unpack(await self._replica.claim(f"purchase:{sale.name}", mine))
        except (LogError, TimeoutError):
            # Nobody else can be asked, so this node decides; the others will hear of it.
            return sale
        _check_content(content, sale)
        return accept(accepted_at)

    def _drafts(self, sale: Sale, actor: str) -> list[DocumentDraft]:
        event = self._registry.draft(EVENT_KIND, sale.name, encode(sale), actor, sale.expires_at)
        if sale.type is EventType.PURCHASE:
            return [event]
        return [event, self._return_of(sale, actor)]

    def _return_of(self, sale: Sale, actor: str) -> DocumentDraft:
        body = encode(Return(issuer=sale.issuer, account=sale.account, event=sale.name))
        # Whenever the purchase comes, if it has not come yet, this must still be known.
        return self._registry.draft(RETURN_KIND, sale.purchase, body, actor, self._clock() + RETURNED_S)

    async def _put(self, drafts: list[DocumentDraft]) -> Put:
        return await self._registry.put(drafts, Wait.ALL, ANSWER_S)


def _check_content(content: bytes, sale: Sale) -> None:
    if content != sale.content:
        raise SoldOtherwiseError("an event of this source and id was told before, and said something else")
