"""API keys: found by what they are, kept as digests, told apart."""

from hashlib import sha256

import pytest

from relay.api_keys import ApiKeyConfig, ApiKeys, check_api_keys
from relay.errors import ConfigError
from relay.roles import Role


def named(name: str, text: str, role: Role = Role.PLATFORM) -> ApiKeyConfig:
    return ApiKeyConfig(name=name, role=role, sha256=sha256(text.encode()).hexdigest())


def test_a_key_is_found_by_its_text_alone() -> None:
    keys = ApiKeys.of(b"file", [named("a", "one"), named("b", "two", Role.READ_ONLY)])
    found = [keys.find(text) for text in (b"file", b"one", b"two")]
    assert [(key.name, key.role) for key in found if key] == [
        ("", Role.ADMIN),
        ("a", Role.PLATFORM),
        ("b", Role.READ_ONLY),
    ]
    for text in (b"", b"One", b"one ", b"file\n", sha256(b"one").digest(), sha256(b"one").hexdigest().encode()):
        assert keys.find(text) is None


def test_a_key_does_not_print() -> None:
    key = ApiKeys.of(b"file", []).find(b"file")
    assert repr(key) == "ApiKey(name='', role=<Role.ADMIN: 'admin'>)"


@pytest.mark.parametrize(
    ("second", "what"), [(named("a", "two"), "name"), (named("b", "one"), "sha256")], ids=["name", "sha256"]
)
def test_two_that_could_not_be_told_apart_are_refused(second: ApiKeyConfig, what: str) -> None:
    check_api_keys("control.keys", [named("a", "one"), named("b", "two")])
    with pytest.raises(ConfigError, match=f"control.keys: two have the same '{what}'"):
        check_api_keys("control.keys", [named("a", "one"), second])
