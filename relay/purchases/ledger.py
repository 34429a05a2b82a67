"""The ledger: what this node's documents say of purchases, kept as the gate asks for it."""

from collections.abc import Callable, Iterable, Sequence

import structlog

from relay.gate.entitlements import Entitlement, Entitlements
from relay.gate.targets import Target, TargetType
from relay.purchases.records import EVENT_KIND, RETURN_KIND, EventType, Sale, read_return, read_sale
from relay.state.documents import Documents
from relay.state.events import DocumentPut, Event

_log = structlog.get_logger()


class Ledger:
    """Purchases by account, and those that were taken back. ``is_sure`` is as the gate's entitlements have it."""

    def __init__(self, documents: Documents, is_sure: Callable[[], bool]) -> None:
        self._documents = documents
        self.entitlements = Entitlements(self._read, self.is_returned, is_sure)

    def load(self) -> None:
        """Take in all that this node knew when it started."""
        for name in list(self._documents.kept(EVENT_KIND)):
            self._index(name)

    def apply(self, events: Iterable[Event]) -> list[Target]:
        """Take in what just changed. Returns the accounts that may now have less."""
        fewer = []
        for event in events:
            if not isinstance(event, DocumentPut):
                continue
            if event.kind == EVENT_KIND:
                self._index(event.name)
            elif event.kind == RETURN_KIND and event.body:
                try:
                    returned = read_return(event.body)
                except ValueError as err:
                    _log.error("return_unreadable", name=event.name, error=str(err))
                    continue
                self.entitlements.touch(returned.issuer, returned.account)
                fewer.append(Target(TargetType.ACCOUNT, returned.account, returned.issuer))
        return fewer

    def find(self, name: str, now: float) -> Sale | None:
        """An event that is known, by its name."""
        document = self._documents.get(EVENT_KIND, name, now)
        if document is None:
            return None
        try:
            return read_sale(document.body)
        except ValueError as err:
            # Written by a newer version of the relay, perhaps.
            _log.error("purchase_unreadable", name=name, error=str(err))
            return None

    def of_account(self, issuer: str, account: str, now: float) -> Sequence[Sale]:
        """An account's purchases, over or taken back ones among them, by name."""
        names = self.entitlements.names_of(issuer, account)
        known = [sale for sale in (self.find(name, now) for name in sorted(names)) if sale is not None]
        # A name may have come to mean another's.
        return [sale for sale in known if (sale.issuer, sale.account) == (issuer, account)]

    def is_returned(self, purchase: str, now: float) -> bool:
        """Whether a purchase was taken back."""
        return self._documents.get(RETURN_KIND, purchase, now) is not None

    def _index(self, name: str) -> None:
        sale = self.find(name, 0.0)
        if sale is not None and sale.type is EventType.PURCHASE:
            known = self._documents.kept(EVENT_KIND)
            self.entitlements.add(sale.issuer, sale.account, name, known.__contains__)

    def _read(self, name: str, now: float) -> Entitlement | None:
        sale = self.find(name, now)
        if sale is None or sale.ends_at <= now or self.is_returned(sale.purchase, now):
            return None
        return sale.entitlement()
