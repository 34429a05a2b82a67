"""Entity tags and the lists of them that requests send."""

import pytest

from relay.conditions import entity_tag, matches, matches_strongly

TAG = entity_tag(b"one")


def test_the_same_bytes_have_the_same_tag() -> None:
    assert entity_tag(b"one") == TAG != entity_tag(b"two")
    assert TAG.startswith('"')
    assert TAG.endswith('"')


@pytest.mark.parametrize(
    ("header", "weakly", "strongly"),
    [
        (TAG, True, True),
        (f'"x", {TAG}', True, True),
        ("*", True, True),
        (f"W/{TAG}", True, False),
        (f'"x" ,W/{TAG}', True, False),
        ("", False, False),
        ('"x"', False, False),
        (TAG.strip('"'), False, False),
    ],
)
def test_lists_of_tags(header: str, weakly: bool, strongly: bool) -> None:
    assert (matches(header, TAG), matches_strongly(header, TAG)) == (weakly, strongly)
