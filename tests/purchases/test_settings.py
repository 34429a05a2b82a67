"""Sources and products as they are configured, and the secrets that sources sign with."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from relay.config import parse_config
from relay.errors import ConfigError
from relay.purchases.signatures import read_secret_text
from relay.secrets import read_secrets
from tests.test_config import GOOD, issuer, with_value

SOURCE = {"name": "shop", "secret_files": ["shop.key"]}


@pytest.mark.parametrize(
    ("purchases", "message"),
    [
        ({"products": {"season": ["sport"]}}, "purchases.products.season: no stream 'sport'"),
        ({"products": {"season": []}}, "purchases"),
        ({"sources": [SOURCE, SOURCE]}, "purchases.sources: two have the same 'name'"),
        ({"sources": [{**SOURCE, "streams": ["sport"]}]}, r"purchases.sources\[0\].streams: no stream 'sport'"),
        ({"sources": [{**SOURCE, "issuer": "other"}]}, r"purchases.sources\[0\].issuer: no issuer 'other'"),
        ({"sources": [{**SOURCE, "secret_files": []}]}, r"purchases.sources\[0\].secret_files"),
        ({"sources": [{**SOURCE, "types": {"a.b": "gift"}}]}, r"purchases.sources\[0\].types"),
        ({"sources": [{**SOURCE, "url": "x"}]}, r"purchases.sources\[0\]"),
    ],
)
def test_what_leads_nowhere_is_named(purchases: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(with_value("purchases", purchases), "relay.toml")


def test_with_several_issuers_a_source_says_whose_accounts_it_sells_to() -> None:
    raw = with_value("purchases", {"sources": [SOURCE]})
    raw["tokens"]["issuers"] = [issuer(), {**issuer(), "iss": "https://other.example"}]
    with pytest.raises(ConfigError, match="Say whose accounts"):
        parse_config(raw, "relay.toml")
    raw["purchases"] = {"sources": [{**SOURCE, "issuer": "https://other.example"}]}
    parse_config(raw, "relay.toml")


def test_a_secret_is_written_as_shops_show_it_or_as_hex() -> None:
    secret = bytes(range(32))
    assert read_secret_text("whsec_" + b64encode(secret).decode()) == read_secret_text(secret.hex()) == secret


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!", "xyz", "00" * 23, "00" * 65, "whsec_" + "00" * 8])
def test_what_is_no_secret_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    for name, content in (("api.key", "k" * 40), ("root.hex", "00" * 32), ("token.hex", "00" * 32), ("shop.key", text)):
        (tmp_path / name).write_text(content)
    config = parse_config({**GOOD, "purchases": {"sources": [SOURCE]}}, "relay.toml")
    with pytest.raises(ConfigError, match=r"purchases\.sources\[0\]\.secret_files\[0\]") as refused:
        read_secrets(config, tmp_path)
    assert not text or text not in str(refused.value)
