"""What security events ask of this relay: Shared Signals, CAEP and RISC event types to revocations. Pure.

A session that ended is revoked; a user whose sessions ended gets a cut-off, so that a new sign-in works; an
account that was disabled, and a device that left compliance, are revoked. Subjects follow RFC 9493 and the
Shared Signals Framework: of a complex one all members must match, so one target is taken that covers every such
session, and as few others as can be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.gate.targets import Target, TargetType
from relay.sessions.revocations import Order
from relay.state.events import Action

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
MAX_EVENTS = 8
MAX_ID = 512
CLOCK_SKEW_S = 60

_TEXT_OF = {
    "opaque": "id",
    "email": "email",
    "account": "uri",
    "phone_number": "phone_number",
    "uri": "uri",
    "did": "url",
}
"""Subject identifier formats (RFC 9493 §3.2) by the member that holds the one text they are."""
_GONE = ("revoke", "delete")
"""Changes of a credential after which sessions begun with it must end (CAEP §3.4)."""


class SubjectError(ValueError):
    """The subject names nothing that can be revoked here; the event was not acted on."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who says it: the transmitter's issuer, the token issuer that its users belong to (empty: any), the time."""

    iss: str
    account_issuer: str
    issued_at: int

    @property
    def name(self) -> str:
        """Its mark on the revocations it caused."""
        return f"ssf:{self.iss}"[:MAX_ID]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a subject comes to. A bare identifier is a session, user or device by what the event is about."""

    session: str = ""
    user: str = ""
    user_issuer: str = ""
    device: str = ""
    token: str = ""
    token_issuer: str = ""
    bare: str = ""


def orders_of(events: Mapping[str, Any], subject: Any, source: Source, now: float) -> list[Order]:
    """The orders that a security event token's ``events`` come to, for its ``sub_id``.

    Events of other types ask for nothing. Raises :class:`SubjectError`.
    """
    if len(events) > MAX_EVENTS:
        raise SubjectError(f"more than {MAX_EVENTS} events in one token")
    orders = []
    for kind, event in events.items():
        target_of = _TARGET_OF.get(kind)
        if target_of is None:
            continue
        if not isinstance(event, dict):
            raise SubjectError("an event must be an object")
        # Before the final specifications the subject stood inside the event.
        named = _read(subject if subject is not None else event.get("subject"), source)
        target = target_of(event, named, source, now)
        if target is not None:
            orders.append(
                Order(target, Action.REVOKE, _reason(event) or kind.rsplit("/", 1)[-1], kind, sources=(source.name,))
            )
    return orders


def _session_revoked(event: Mapping[str, Any], named: _Subject, source: Source, now: float) -> Target | None:
    if named.token:
        return Target(TargetType.TOKEN, named.token, named.token_issuer)
    if named.session or named.bare:
        return Target(TargetType.SESSION, named.session or named.bare)
    if named.device and not named.user:
        return Target(TargetType.DEVICE, named.device, source.account_issuer)
    # A user's sessions on one device: the user may sign in again, which a revoked device could not.
    return _cut_off(event, named, source, now)


def _account_disabled(_: Mapping[str, Any], named: _Subject, source: Source, __: float) -> Target | None:
    user = named.user or named.bare
    if not user:
        raise SubjectError("the subject names no user")
    return Target(TargetType.ACCOUNT, user, named.user_issuer or source.account_issuer)


def _credential_changed(event: Mapping[str, Any], named: _Subject, source: Source, now: float) -> Target | None:
    return _cut_off(event, named, source, now) if event.get("change_type") in _GONE else None


def _cut_off(event: Mapping[str, Any], named: _Subject, source: Source, now: float) -> Target | None:
    user = named.user or named.bare
    if not user:
        raise SubjectError("the subject names no session, user or device")
    written = event.get("event_timestamp")
    at = written if isinstance(written, int | float) and 0 < written < 2**53 else source.issued_at
    # Some transmitters write milliseconds; nothing that begins after now is meant in any case. Tokens of the
    # very second of the event are stopped, too.
    limit = int(min(at, now + CLOCK_SKEW_S)) + 1
    return Target(TargetType.ISSUED_BEFORE, user, named.user_issuer or source.account_issuer, limit=limit)


def _device_compliance(event: Mapping[str, Any], named: _Subject, source: Source, _: float) -> Target | None:
    if event.get("current_status") != "not-compliant":
        return None
    device = named.device or named.bare
    if not device:
        raise SubjectError("the subject names no device")
    return Target(TargetType.DEVICE, device, source.account_issuer)


_TARGET_OF: Mapping[str, Callable[[Mapping[str, Any], _Subject, Source, float], Target | None]] = {
    CAEP + "session-revoked": _session_revoked,
    CAEP + "credential-change": _credential_changed,
    CAEP + "device-compliance-change": _device_compliance,
    RISC + "sessions-revoked": _cut_off,
    RISC + "credential-compromise": _cut_off,
    RISC + "account-credential-change-required": _cut_off,
    RISC + "account-disabled": _account_disabled,
    RISC + "account-purged": _account_disabled,
}


def _read(subject: Any, source: Source) -> _Subject:
    if not isinstance(subject, dict):
        raise SubjectError("no subject")
    form = _form(subject)
    if form != "complex" and (form or not {"session", "user", "device"} & set(subject)):
        return _simple(subject, form, source)
    session, device, user = (_member(subject, name, source) for name in ("session", "device", "user"))
    return _Subject(
        session=session.bare or session.user,
        user=user.user or user.bare,
        user_issuer=user.user_issuer,
        device=device.bare or device.user,
        token=session.token,
        token_issuer=session.token_issuer,
    )


def _member(subject: Mapping[str, Any], name: str, source: Source) -> _Subject:
    value = subject.get(name)
    if value is None:
        return _Subject()
    if not isinstance(value, dict):
        raise SubjectError(f"subject member {name} must be an object")
    return _simple(value, _form(value), source)


def _form(subject: Mapping[str, Any]) -> str:
    written = subject.get("format", subject.get("subject_type", ""))
    return written.replace("-", "_") if isinstance(written, str) else ""


def _simple(subject: Mapping[str, Any], form: str, source: Source) -> _Subject:
    if form == "iss_sub":
        # Its users' accounts are known here under another issuer, if the transmitter is not that itself.
        issuer = source.account_issuer or _text(subject, "iss")
        return _Subject(user=_text(subject, "sub"), user_issuer=issuer)
    if form == "jwt_id":
        return _Subject(token=_text(subject, "jti"), token_issuer=_text(subject, "iss"))
    if form not in _TEXT_OF:
        raise SubjectError("a subject of this format names nothing here")
    value = _text(subject, _TEXT_OF[form])
    if form == "opaque":
        return _Subject(bare=value)
    return _Subject(user=value.removeprefix("acct:"))


def _text(subject: Mapping[str, Any], name: str) -> str:
    value = subject.get(name)
    # JSON can spell lone surrogates, which no UTF-8 can carry on; they are not printable.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID or not value.isprintable():
        raise SubjectError(f"subject member {name}: text of 1 to {MAX_ID} printable characters required")
    return value


def _reason(event: Mapping[str, Any]) -> str:
    """What the transmitter says why, in English if it can (CAEP §2)."""
    texts = event.get("reason_admin")
    text = texts.get("en", next(iter(texts.values()), "")) if isinstance(texts, dict) else texts
    return text[:MAX_ID] if isinstance(text, str) and text.isprintable() else ""
