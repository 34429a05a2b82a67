"""Tokens as platforms make them, in the dialects that are easily tried out by hand. Pure."""

from collections.abc import Mapping
from typing import Any

from relay.gate.dialects.akamai import AkamaiOptions, mint_acl_token
from relay.gate.dialects.cat import CatOptions, mint_cat
from relay.gate.dialects.jwt import mint_token

DIALECTS = ("jwt", "cat", "akamai")


def mint(dialect: str, options: object, claims: Mapping[str, Any], kid: str, algorithm: str, key: bytes) -> str:
    """Sign a token that says these claims of the JWT profile: ``key`` is an HS256 secret or a private key's PEM.

    Raises ValueError when the key does not fit the algorithm, or the dialect cannot say what the claims do.
    """
    if dialect == "jwt":
        return mint_token(claims, kid, algorithm, key)
    if dialect == "cat" and isinstance(options, CatOptions):
        labels = options.labels()
        said = {labels.get(name, name): value for name, value in claims.items() if name != "jti"}
        return mint_cat({**said, "cti": claims["jti"].encode(), "catv": 1}, kid, algorithm, key, options.short_mac)
    if dialect == "akamai" and isinstance(options, AkamaiOptions):
        return mint_acl_token(_fields(claims), key, options)
    raise ValueError(f"tokens of dialect {dialect} are not minted here, only those of {', '.join(DIALECTS)}")


def _fields(claims: Mapping[str, Any]) -> dict[str, str | int]:
    for name in ("did", "drm"):
        if name in claims:
            raise ValueError(f"an Akamai token cannot say claim {name}")
    acl = "!".join(f"/watch/{stream}/*" for stream in claims["ent"]) if "ent" in claims else "/*"
    account = str(claims["sub"])
    if "~" in account or not account.isascii():
        raise ValueError("an Akamai token cannot say that account")
    return {"st": claims["iat"], "exp": claims["exp"], "acl": acl, "id": claims["sid"], "data": account}
