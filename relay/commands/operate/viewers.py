"""Commands about viewers: revocations, sessions, licences."""

from typing import TYPE_CHECKING, Any

import click

from keys.model import TrackType
from relay.commands.operate.call import WAIT, calls_relay
from relay.commands.options import Time

if TYPE_CHECKING:
    from relay.client import Client
    from relay.client.http import WaitFor


@click.command()
@click.option("--session", "session_id", default=None, help="Session id.")
@click.option("--account", "account_id", default=None, help="Account id.")
@click.option("--device", "device_id", default=None, help="Device id.")
@click.option("--watermark", "watermark_id", default=None, help="Watermark id.")
@click.option("--issuer", default="", help="The one token issuer whose account or device it is.")
@click.option("--reason", default="", help="For the record.")
@calls_relay
async def revoke(relay: "Client", /, **named: Any) -> object:
    """Stop one session, account, device or watermark now."""
    if sum(named[name] is not None for name in ("session_id", "account_id", "device_id", "watermark_id")) != 1:
        raise click.UsageError("give exactly one of --session, --account, --device and --watermark.")
    return await relay.revocations.revoke(**named)


@click.command()
@click.argument("record")
@click.option("--reason", default="", help="For the record.")
@calls_relay
async def restore(relay: "Client", /, record: str, reason: str) -> object:
    """Take back a revocation, by the id that it was answered with."""
    return await relay.revocations.restore(record, reason)


@click.group()
def sessions() -> None:
    """Sessions of viewers."""


@sessions.command("issue")
@click.option("--account", required=True, help="The viewer's pseudonymous id.")
@click.option("--stream", "streams", multiple=True, required=True, help="What it may watch; repeatable.")
@click.option("--session", default=None, help="Its id; random when left out.")
@click.option("--device", default="", help="Device id.")
@click.option("--watermark", default="", help="Watermark id.")
@click.option("--issuer", default="", help="The token issuer whose account it is, where there are several.")
@click.option("--max-track", type=click.Choice([str(track) for track in TrackType]), default=str(TrackType.UHD))
@click.option("--expires-in", type=Time(), default=None, help="As 4h; as long as any may when left out.")
@calls_relay
async def sessions_issue(
    relay: "Client",
    /,
    account: str,
    streams: tuple[str, ...],
    session: str | None,
    device: str,
    watermark: str,
    issuer: str,
    max_track: str,
    expires_in: int | None,
) -> object:
    """Issue a session, and print where it plays. Handle the URLs as secrets."""
    from relay.api.sessions import SessionBody

    return await relay.sessions.issue(
        SessionBody(
            account_id=account,
            stream_ids=list(streams),
            session_id=session,
            device_id=device,
            watermark_id=watermark,
            issuer=issuer,
            max_track=TrackType(max_track),
            expires_in=expires_in,
        )
    )


@sessions.command("list")
@click.option("--account", "account_id", default="", help="Only those of an account.")
@click.option("--stream", "stream_id", default="", help="Only those on a stream.")
@click.option("--device", "device_id", default="", help="Only those on a device.")
@calls_relay
async def sessions_list(relay: "Client", /, account_id: str, stream_id: str, device_id: str) -> object:
    """Show who is live on the node that is asked."""
    live = relay.sessions.live(account_id=account_id, stream_id=stream_id, device_id=device_id)
    return [session async for session in live]


@sessions.command("renew")
@click.argument("session")
@click.option("--expires-in", type=Time(), default=None, help="As 4h; as long as any may when left out.")
@calls_relay
async def sessions_renew(relay: "Client", /, session: str, expires_in: int | None) -> object:
    """Let a session go on, and print its new URLs."""
    from relay.api.sessions import RenewBody

    return await relay.sessions.renew(session, RenewBody(expires_in=expires_in))


@sessions.command("end")
@click.argument("session")
@click.option("--detail", default="", help="For the record.")
@WAIT
@calls_relay
async def sessions_end(relay: "Client", /, session: str, detail: str, wait: "WaitFor") -> object:
    """End a session now, on every node."""
    return await relay.sessions.end(session, detail, wait=wait)


@click.group()
def entitlements() -> None:
    """What accounts were sold."""


@entitlements.command("list")
@click.argument("account")
@click.option("--issuer", default="", help="The token issuer whose account it is, where there are several.")
@calls_relay
async def entitlements_list(relay: "Client", /, account: str, issuer: str) -> object:
    """Show what an account was sold, also what is over or was taken back."""
    return [one async for one in relay.entitlements.of(account, issuer=issuer)]


@entitlements.command("withdraw")
@click.argument("entitlement")
@calls_relay
async def entitlements_withdraw(relay: "Client", /, entitlement: str) -> object:
    """Take one back, as a refund does: what plays by it is cut on every node."""
    return await relay.entitlements.withdraw(entitlement)


@click.command("status")
@click.argument("session")
@click.option("--issuer", default="", help="The token issuer whose session it is.")
@calls_relay
async def licence_status(relay: "Client", /, session: str, issuer: str) -> object:
    """Show what a session was licensed, refused and revoked by, on whatever node."""
    return await relay.licences.status(session, issuer=issuer)
