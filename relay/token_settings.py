"""Whose tokens are accepted, and whose security events are obeyed, as configured."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from relay.errors import ConfigError
from relay.gate.dialects.registry import DIALECTS, options_of
from relay.published.settings import JwksConfig, StatusListsConfig, check_key_set, check_status_lists
from relay.units import Duration, Name

NonEmpty = Annotated[str, Meta(min_length=1, max_length=512)]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")]
MAX_LEEWAY = Duration.parse("60s")


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the sections: frozen, and refusing names it does not know."""


class TokenKeyConfig(_Section, frozen=True):
    """One verification key of an issuer: a hex secret for HMAC algorithms, a PEM public key otherwise.

    ``retire_at`` is when it stops being accepted, in seconds since the epoch; 0: never.
    """

    kid: NonEmpty
    alg: Literal["HS256", "ES256", "EdDSA", "PS256"]
    file: NonEmpty
    retire_at: Annotated[int, Meta(ge=0)] = 0


class IssuerConfig(_Section, frozen=True):
    """Who may issue tokens, in which dialect, and where requests carry them.

    ``header``, ``cookie``, ``query`` and ``path`` are the names that its tokens travel under; the path form is
    ``/watch/NAME=TOKEN/STREAM/…``, or the bare token where ``path`` is ``"*"``. ``streams`` limits what it may
    admit to. ``options`` are the dialect's own. Two keys let one be replaced without a gap. ``status_lists``
    are those that its tokens may name. With ``proof_nonce``, proofs of possession must hold a nonce of ours
    (RFC 9449 §9).
    """

    iss: NonEmpty
    dialect: Literal["jwt", "cat", "akamai", "uri-signing", "media-cdn", "secure-media", "secure-link", "fastly"] = (
        "jwt"
    )
    keys: Annotated[tuple[TokenKeyConfig, ...], Meta(max_length=8)] = ()
    jwks: JwksConfig | None = None
    status_lists: StatusListsConfig | None = None
    streams: Annotated[tuple[Name, ...], Meta(max_length=1024)] = ()
    header: tuple[HeaderName, ...] | None = None
    cookie: tuple[NonEmpty, ...] | None = None
    query: tuple[NonEmpty, ...] | None = None
    path: Annotated[str, Meta(pattern=r"^(\*|[A-Za-z0-9_.-]{0,64})\Z")] | None = None
    options: dict[str, str | int | bool | list[str]] = field(default_factory=dict)
    proof_nonce: bool = False


class TokensConfig(_Section, frozen=True):
    """Session tokens and the passes they are exchanged for."""

    audience: NonEmpty
    issuers: Annotated[tuple[IssuerConfig, ...], Meta(min_length=1, max_length=32)]
    leeway: Duration = Duration.parse("5s")
    max_lifetime: Duration = Duration.parse("1d")
    session_lifetime: Duration = Duration.parse("1d")


class TransmitterConfig(_Section, frozen=True):
    """A Shared Signals transmitter whose security events are obeyed (RFC 8417; pushed, RFC 8935, or polled, RFC 8936).

    ``account_issuer`` is the token issuer whose accounts its users are; ``push_token_file`` holds the bearer token
    that pushes must carry, ``poll_token_file`` the one to poll ``poll_url`` with.
    """

    iss: NonEmpty
    audience: NonEmpty
    keys: Annotated[tuple[TokenKeyConfig, ...], Meta(max_length=8)] = ()
    jwks: JwksConfig | None = None
    account_issuer: Annotated[str, Meta(max_length=512)] = ""
    push_token_file: str = ""
    poll_url: Annotated[str, Meta(pattern=r"^(https?://[^\s?#@/]+/[^\s#@]*)?\Z", max_length=1024)] = ""
    poll_token_file: str = ""
    poll_every: Duration = Duration.parse("10s")


def check_tokens(where: str, tokens: TokensConfig, streams: frozenset[str]) -> None:
    """Raises :class:`ConfigError` for issuers whose tokens would all be refused, or could not be told apart."""
    for key in ("max_lifetime", "session_lifetime"):
        if not getattr(tokens, key):
            raise ConfigError(f"{where}.{key}: 0 would refuse every viewer. Give a duration above it.")
    if tokens.leeway > MAX_LEEWAY:
        raise ConfigError(f"{where}.leeway: more than {MAX_LEEWAY.seconds:.0f}s. Set the clocks right instead.")
    # Of two alike the verifier would keep one only, without a word.
    if len({issuer.iss for issuer in tokens.issuers}) != len(tokens.issuers):
        raise ConfigError(f"{where}.issuers: two have the same 'iss'. Make them one with the keys of both.")
    for number, issuer in enumerate(tokens.issuers):
        _check_issuer(f"{where}.issuers[{number}]", issuer)
        unknown = set(issuer.streams) - streams
        if unknown:
            raise ConfigError(f"{where}.issuers[{number}].streams: no stream {min(unknown)!r}. Add it to 'streams'.")


def _check_issuer(where: str, issuer: IssuerConfig) -> None:
    kind = DIALECTS[issuer.dialect]
    if not issuer.keys and not issuer.jwks:
        raise ConfigError(f"{where}: nothing would verify its tokens. Give 'keys' or 'jwks'.")
    if len({key.kid for key in issuer.keys}) != len(issuer.keys):
        raise ConfigError(f"{where}.keys: two have the same 'kid'. Give each its own.")
    for at, key in enumerate(issuer.keys):
        if key.alg not in kind.algorithms:
            fit = ", ".join(kind.algorithms)
            raise ConfigError(f"{where}.keys[{at}].alg: {key.alg} does not fit {issuer.dialect}. Choose from {fit}.")
    if issuer.jwks and not kind.published:
        raise ConfigError(f"{where}.jwks: {issuer.dialect} has shared secrets, which nobody publishes. Give 'keys'.")
    if issuer.jwks:
        check_key_set(f"{where}.jwks", issuer.jwks)
    if issuer.status_lists:
        check_status_lists(f"{where}.status_lists", issuer.status_lists, issuer.dialect)
    if issuer.dialect == "secure-link" and issuer.query and len(issuer.query) != 2:
        raise ConfigError(f"{where}.query: a secure link has two parts. Give the names of MD5 and expiry.")
    given = {name: value for name, value in issuer.options.items() if name.removesuffix("_file") not in kind.secrets}
    for name in kind.secrets:
        if name in issuer.options:
            raise ConfigError(f"{where}.options.{name}: a secret. Give a file that holds it as '{name}_file'.")
    try:
        options_of(issuer.dialect, given)
    except ValueError as err:
        raise ConfigError(f"{where}.options: {err}. See deploy/relay.toml for every option.") from None


def check_transmitters(where: str, transmitters: Sequence[TransmitterConfig]) -> None:
    """Raises :class:`ConfigError` for transmitters whose events could not come, or not be believed."""
    for number, transmitter in enumerate(transmitters):
        _check_transmitter(f"{where}[{number}]", transmitter)
    if len({transmitter.iss for transmitter in transmitters}) != len(transmitters):
        raise ConfigError(f"{where}: two have the same 'iss'. Give each its own.")


def _check_transmitter(where: str, transmitter: TransmitterConfig) -> None:
    if not transmitter.keys and not transmitter.jwks:
        raise ConfigError(f"{where}: nothing would verify its events. Give 'keys' or 'jwks'.")
    if len({key.kid for key in transmitter.keys}) != len(transmitter.keys):
        raise ConfigError(f"{where}.keys: two have the same 'kid'. Give each its own.")
    if transmitter.jwks:
        check_key_set(f"{where}.jwks", transmitter.jwks)
    if not transmitter.push_token_file and not transmitter.poll_url:
        raise ConfigError(f"{where}: its events cannot come. Give 'push_token_file' or 'poll_url'.")
