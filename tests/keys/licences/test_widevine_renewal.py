"""Widevine renewals and releases: answered by any node that holds the state keys, from what the client brings back."""

import pytest

from keys.errors import LicenceRefusedError, LicenceRequestError
from keys.licences.protobuf import Message, encode
from keys.licences.terms import Term
from keys.licences.widevine import ExistingLicenceRequest, Model, NewLicenceRequest, StatusList, WidevineServer
from keys.licences.widevine.derivation import MacKeys
from keys.licences.widevine.licence import Identification, Policy, licence_message
from keys.licences.widevine.request import Existing, Request, RequestType, SignedMessage
from keys.model import Security
from tests.keys.licences.widevine_client import (
    KEYS,
    NOW,
    STATE_KEY,
    SYSTEM_ID,
    Entropy,
    Licence,
    load_server,
    read_licence,
    vector,
)

TERM = Term(until=NOW + 3600, renew_every=45)
LATER = NOW + 45
RECORDED_MAC = MacKeys(vector("clear_id", "mac_key_server"), vector("clear_id", "mac_key_client"))


def licensed(server: WidevineServer, term: Term = TERM, name: str = "clear_id") -> tuple[NewLicenceRequest, Licence]:
    challenge = vector(name, "challenge")
    opened = server.open(challenge, NOW)
    assert isinstance(opened, NewLicenceRequest)
    answer = server.issue(opened, KEYS, term, now=NOW, entropy=Entropy(), session=b"session 1")
    return opened, read_licence(answer, challenge)


def open_existing(server: WidevineServer, challenge: bytes, now: float = LATER) -> ExistingLicenceRequest:
    opened = server.open(challenge, now)
    assert isinstance(opened, ExistingLicenceRequest)
    return opened


def test_the_recorded_renewal_is_read_and_verifies() -> None:
    message = SignedMessage.decode(vector("renewal", "challenge"))
    assert RECORDED_MAC.verify(message.body, message.signature)
    assert not RECORDED_MAC.verify(message.body + b"\0", message.signature)
    request = Request.decode(message.body)
    assert (request.type, request.time, request.nonce) == (RequestType.RENEWAL, 1, 5)
    assert isinstance(request.content, Existing)
    assert request.content.playing_for == 30
    assert request.content.identification.version == 0


def test_the_recorded_answer_comes_out_again() -> None:
    recorded = Message.decode(vector("renewal", "response"), "answer")
    request = Request.decode(SignedMessage.decode(vector("renewal", "challenge")).body)
    assert isinstance(request.content, Existing)
    asked = request.content.identification
    renewed = Identification(asked.request_id, asked.session_id, asked.type, asked.version + 1, asked.state)
    policy = Policy(can_renew=True, licence_duration=60, renewal_delay=45)
    assert licence_message(renewed, policy, (), int(NOW)) == recorded.blob(2)
    assert RECORDED_MAC.sign(recorded.blob(2)) == recorded.blob(3)


def test_a_state_that_others_sealed_is_not_ours() -> None:
    with pytest.raises(LicenceRequestError, match="not of a licence made here"):
        load_server().open(vector("renewal", "challenge"), NOW)


def test_another_node_renews_with_what_the_client_brings() -> None:
    first, licence = licensed(load_server())
    node = load_server(status=StatusList())
    opened = open_existing(node, licence.renewal())
    assert opened.device == first.device
    assert opened.device.security is Security.HARDWARE
    assert opened.session == b"session 1"
    assert opened.until == TERM.until
    assert (opened.version, opened.playing_for, opened.release) == (0, 30, False)
    renewed = licence.renewed(node.renew(opened, TERM, now=LATER))
    assert renewed.policy == {1: 1, 3: 1, 6: 60, 7: 15, 9: 45, 10: 5}
    assert renewed.message.number(4) == LATER
    before, after = Identification.decode(licence.id), Identification.decode(renewed.id)
    assert (after.request_id, after.session_id, after.type) == (before.request_id, before.session_id, before.type)
    assert after.version == 1


def test_renewals_follow_each_other_and_take_up_new_terms() -> None:
    server = load_server()
    _, licence = licensed(server)
    for version in range(5):
        opened = open_existing(server, licence.renewal())
        assert opened.version == version
        assert opened.until == NOW + 3600 + version
        term = Term(until=NOW + 3601 + version, renew_every=45)
        licence = licence.renewed(server.renew(opened, term, now=LATER))


def test_a_renewal_can_shorten_and_end() -> None:
    server = load_server()
    _, licence = licensed(server)
    opened = open_existing(server, licence.renewal())
    assert licence.renewed(server.renew(opened, Term(LATER + 10), now=LATER)).policy == {1: 1, 6: 10}
    assert licence.renewed(server.end(opened, now=LATER)).policy == {1: 0}
    with pytest.raises(LicenceRefusedError) as refused:
        server.renew(opened, Term(LATER), now=LATER)
    assert refused.value.reason == "expired"


def test_no_renewal_after_the_term_but_a_release() -> None:
    server = load_server()
    _, licence = licensed(server)
    with pytest.raises(LicenceRefusedError) as refused:
        server.open(licence.renewal(), TERM.until)
    assert refused.value.reason == "expired"
    opened = open_existing(server, licence.renewal(type_=3), TERM.until)
    assert opened.release
    with pytest.raises(LicenceRefusedError) as refused:
        server.renew(opened, TERM, now=LATER)
    assert refused.value.reason == "released"


def test_a_persistent_licence_is_renewed_and_released() -> None:
    server = load_server()
    term = Term(NOW + 86400, persistent=True, renew_every=3600)
    _, licence = licensed(server, term, "offline")
    opened = open_existing(server, licence.renewal())
    renewed = licence.renewed(server.renew(opened, term, now=LATER))
    assert renewed.policy == {1: 1, 2: 1, 3: 1, 6: 86355, 9: 3600, 10: 400}
    assert renewed.renewed(server.end(open_existing(server, renewed.renewal(type_=3)), now=LATER)).policy == {1: 0}


def test_a_streaming_licence_does_not_become_a_stored_one() -> None:
    server = load_server()
    _, licence = licensed(server)
    opened = open_existing(server, licence.renewal())
    answer = server.renew(opened, Term(NOW + 86400, persistent=True), now=LATER)
    assert 2 not in licence.renewed(answer).policy


def test_a_client_without_a_clock_gets_ours() -> None:
    server = load_server()
    _, licence = licensed(server)
    opened = open_existing(server, licence.renewal(time=0))
    assert licence.renewed(server.renew(opened, TERM, now=LATER)).message.number(4) == LATER


def test_state_keys_can_be_replaced() -> None:
    _, licence = licensed(load_server())
    both = load_server(state_keys=[b"\1" * 32, STATE_KEY])
    renewed = licence.renewed(both.renew(open_existing(both, licence.renewal()), TERM, now=LATER))
    new = load_server(state_keys=[b"\1" * 32])
    assert open_existing(new, renewed.renewal()).version == 1
    with pytest.raises(LicenceRequestError, match="not of a licence made here"):
        new.open(licence.renewal(), LATER)


@pytest.mark.parametrize("field", [1, 2, 4, 5, 6])
def test_an_altered_identification_is_refused_though_signed(field: int) -> None:
    """A client that holds the MAC keys still cannot change what its licence is, or say that it is another."""
    _, licence = licensed(load_server())
    found = Message.decode(licence.id, "id")
    parts = [
        (number, (value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]))
        if number == field
        else (number, value)
        for number, (value,) in found.fields.items()
    ]
    with pytest.raises(LicenceRequestError, match="not of a licence made here"):
        load_server().open(licence.renewal(id_=encode(*parts)), LATER)


@pytest.mark.parametrize("state", [b"", b"\xff" * 40, b"A", b"AAAA", b"A" * 4000])
def test_a_state_of_any_shape_is_only_refused(state: bytes) -> None:
    _, licence = licensed(load_server())
    id_ = encode((1, b"a"), (2, b"b"), (4, 2**64 - 1), (5, 2**64 - 1), (6, state))
    with pytest.raises(LicenceRequestError, match="not of a licence made here"):
        load_server().open(licence.renewal(id_=id_), LATER)


def test_a_renewal_signed_with_other_keys_is_refused() -> None:
    _, licence = licensed(load_server())
    licence.mac_client = bytes(32)
    with pytest.raises(LicenceRequestError, match="not the licence holder's"):
        load_server().open(licence.renewal(), LATER)


def test_a_changed_renewal_is_refused() -> None:
    server = load_server()
    _, licence = licensed(server)
    challenge = licence.renewal()
    message = Message.decode(challenge, "challenge")
    released = message.blob(2).replace(b"\x18\x02", b"\x18\x03")
    assert released != message.blob(2)
    with pytest.raises(LicenceRequestError, match="not the licence holder's"):
        server.open(encode((1, 1), (2, released), (3, message.blob(3))), LATER)


def test_truncation_at_any_byte_is_only_refused() -> None:
    server = load_server()
    _, licence = licensed(server)
    challenge = licence.renewal()
    for size in range(len(challenge)):
        with pytest.raises(LicenceRequestError):
            server.open(challenge[:size], LATER)


def test_no_repr_shows_a_key() -> None:
    server = load_server(status=StatusList({SYSTEM_ID: Model(Security.HARDWARE)}))
    _, licence = licensed(server)
    shown = repr(open_existing(server, licence.renewal()))
    for secret in (licence.mac_client, licence.mac_server, Identification.decode(licence.id).state, b"session 1"):
        assert secret.hex() not in shown
        assert repr(secret)[2:20] not in shown
