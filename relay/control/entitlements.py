"""``/api/v1/entitlements``: what accounts were sold, to look up and to take back."""

from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from relay.api.purchases import Entitlement as Shown
from relay.api.purchases import EntitlementPage, Withdrawn
from relay.api.revocations import Id
from relay.control.errors import NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.notes import NOTES
from relay.control.pages import PageQuery, cursor_of, place_of
from relay.control.purchases import entitlement_of
from relay.control.records import report_of
from relay.control.requests import actor_of, json_answer, read_query
from relay.errors import RequestError
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.purchases.records import EventType, Sale
from relay.roles import OPERATORS, READERS
from relay.state.events import Text

PATH = "/api/v1/entitlements"
_names: msgspec.msgpack.Decoder[str] = msgspec.msgpack.Decoder(Annotated[str, Meta(max_length=32)])


class EntitlementQuery(PageQuery, frozen=True, kw_only=True):
    """``issuer`` is the token issuer of the account, needed where there are several."""

    account_id: Id
    issuer: Text = ""


async def get_entitlements(request: web.Request) -> web.Response:
    """The entitlements of an account, also those that are over or were taken back, a week longer than they hold."""
    node, query = request.app[NODE], read_query(request, EntitlementQuery)
    after = place_of(query.cursor, _names) or ""
    sales = node.till.ledger.of_account(_issuer(node, query.issuer), query.account_id, node.clock())
    rest = [sale for sale in sales if sale.name > after]
    page = rest[: query.limit]
    return json_answer(
        EntitlementPage(
            entitlements=[entitlement_of(node, sale) for sale in page],
            next=cursor_of(page[-1].name) if len(rest) > len(page) else None,
        )
    )


async def get_entitlement(request: web.Request) -> web.Response:
    """One entitlement."""
    node = request.app[NODE]
    return json_answer(entitlement_of(node, _find(request)))


async def delete_entitlement(request: web.Request) -> web.Response:
    """Take an entitlement back, as a refund does: what plays by it is cut on every node."""

    async def act() -> Reply:
        node, actor = request.app[NODE], actor_of(request)
        sale = _find(request)
        put = await node.till.take_back(sale, actor)
        effect = {"id": sale.name, "account": sale.account, "complete": put.complete}
        request.app[NOTES].audit(actor, "entitlements.delete", effect)
        nodes = [report_of(report) for report in put.nodes]
        return Reply.json(Withdrawn(entitlement=entitlement_of(node, sale), complete=put.complete, nodes=nodes))

    return await once(request, b"", act)


def _find(request: web.Request) -> Sale:
    node = request.app[NODE]
    sale = node.till.ledger.find(request.match_info["id"], node.clock())
    if sale is None or sale.type is not EventType.PURCHASE:
        raise NotFoundError("no such entitlement is kept here")
    return sale


def _issuer(node: Node, issuer: str) -> str:
    issuers = [one.iss for one in node.config.tokens.issuers]
    if not issuer and len(issuers) > 1:
        raise RequestError("issuer: required: there are several")
    return issuer or issuers[0]


_row = partial(Operation, tag="Purchases")
OPERATIONS = (
    _row(
        method="GET",
        path=PATH,
        handler=get_entitlements,
        roles=READERS,
        query=EntitlementQuery,
        answers={200: EntitlementPage},
    ),
    _row(
        method="GET",
        path=f"{PATH}/{{id}}",
        handler=get_entitlement,
        roles=READERS,
        answers={200: Shown},
        errors=(NotFoundError,),
        path_types={"id": Id},
    ),
    _row(
        method="DELETE",
        path=f"{PATH}/{{id}}",
        handler=delete_entitlement,
        roles=OPERATORS,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: Withdrawn},
        errors=(NotFoundError,),
        path_types={"id": Id},
    ),
)
