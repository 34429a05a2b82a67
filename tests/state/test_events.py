"""Control events: what is written is read again, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.revocation import TargetType
from relay.state.events import Event, Revoked, SaltDrawn, decode_event, encode_event

REVOKED = Revoked(id="r1", target=TargetType.SESSION, value="s1", at=1.5, expires_at=99.25)
SALT = SaltDrawn(stream="news", period=600_000, salt=bytes(range(32)))

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
seconds = st.floats(0, 2**40)
revocations = st.builds(
    Revoked,
    id=words,
    target=st.sampled_from(TargetType),
    value=words,
    issuer=words,
    reason=words,
    actor=words,
    at=seconds,
    expires_at=seconds,
)
salts = st.builds(SaltDrawn, stream=words, period=st.integers(0, 2**60), salt=st.binary(max_size=64))


@given(revocations | salts)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


def test_the_written_form_never_changes() -> None:
    """Journals of earlier versions must stay readable."""
    assert decode_event(
        b'{"type":"revoked","id":"r1","target":"session","value":"s1","at":1.5,"expires_at":99.25}'
    ) == (REVOKED)
    line = (
        b'{"type":"salt-drawn","stream":"news","period":600000,"salt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}'
    )
    assert decode_event(line) == SALT
    assert encode_event(SALT) == line


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"type":"revoked"}',
        b'{"type":"restored","id":"r1"}',
        b'{"type":"revoked","id":"r1","target":"planet","value":"s1","at":1,"expires_at":2}',
        b'{"type":"revoked","id":"r1","target":"session","value":"","at":1,"expires_at":2}',
        b'{"type":"revoked","id":"r1","target":"session","value":"s1","at":"now","expires_at":2}',
        b'{"type":"revoked","id":"r1","target":"session","value":"s1","at":1,"expires_at":NaN}',
        b'{"type":"revoked","id":"r1","target":"session","value":"s1","at":1,"expires_at":2,"more":1}',
        b'{"type":"salt-drawn","stream":"news","period":1.5,"salt":""}',
        b'{"type":"salt-drawn","stream":"news","period":1,"salt":"not base64!"}',
        b'{"type":"salt-drawn","stream":"news","period":1,"salt":"AA=="} tail',
        b"[" * 5000,
    ],
)
def test_a_line_that_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec words it
        decode_event(line)


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec words it
        decode_event(line)
