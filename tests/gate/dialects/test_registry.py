"""The dialects by name."""

from typing import Any, get_args, get_type_hints

import pytest

from relay.gate.dialects.akamai import AkamaiOptions
from relay.gate.dialects.registry import DIALECTS, options_of
from relay.token_settings import IssuerConfig


def test_every_dialect_of_the_configuration_is_there() -> None:
    assert set(get_args(get_type_hints(IssuerConfig)["dialect"])) == set(DIALECTS)


@pytest.mark.parametrize("name", DIALECTS)
def test_without_options_each_has_its_own(name: str) -> None:
    assert options_of(name, {}) == DIALECTS[name].options()


def test_options_are_read() -> None:
    given = {"salt": "s", "hashes": ["sha1"], "escape_early": True, "account": "id"}
    assert options_of("akamai", given) == AkamaiOptions("s", ("sha1",), True, "id")


@pytest.mark.parametrize(
    ("dialect", "options", "message"),
    [
        ("jwt", {"plian": True}, "plian: no such option; jwt knows plain"),
        ("jwt", {"plain": "yes"}, "plain: Expected `bool`"),
        ("secure-media", {"x": 1}, "x: no such option; secure-media knows none"),
        ("akamai", {"hashes": ["sha512"]}, "Invalid enum value 'sha512'"),
        ("akamai", {"hashes": []}, "hashes: "),
        ("akamai", {"account": "ip"}, "account: Invalid enum value 'ip'"),
        ("media-cdn", {"hashes": ["md5"]}, "Invalid enum value 'md5'"),
        ("secure-link", {"text": "{uri}"}, "it must hold {expires} and {uri} and end in {secret}"),
        ("uri-signing", {"encryption_key": bytes(3)}, "encryption_key: 16 or 32 bytes"),
        ("fastly", {"with_query": 1}, "with_query: Expected `bool`"),
        ("cat", {"deadline": "hours"}, "deadline: Invalid enum value 'hours'"),
    ],
)
def test_what_is_wrong_is_named(dialect: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        options_of(dialect, options)
    assert message in str(caught.value)


def test_only_shared_secrets_are_published_by_nobody() -> None:
    assert {name for name, kind in DIALECTS.items() if not kind.published} == {
        "akamai",
        "secure-media",
        "secure-link",
        "fastly",
    }
