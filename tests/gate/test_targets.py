"""Targets and subjects: what a revocation names, and what of a session it may hit."""

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.gate.revocation import RevocationSet, Standing
from relay.gate.targets import Target, TargetType, subject_of, targets_of
from relay.model import Session

KINDS = TargetType
SESSION = Session(
    "sid", "account", "issuer", 1, token_id="jti", device="tv", key_id="k1", issued_at=5, version=3, watermark="w"
)  # fmt: skip


def test_different_targets_have_different_digests() -> None:
    """Also where one field's end is another's beginning."""
    targets = [Target(kind, "ab", "c") for kind in KINDS]
    targets += [Target(KINDS.ACCOUNT, "a", "bc"), Target(KINDS.ACCOUNT, "abc"), Target(KINDS.ACCOUNT, "", "abc")]
    targets += [Target(KINDS.STREAM, "ab"), Target(KINDS.STREAM, "ab", viewer="c"), Target(KINDS.STREAM, "a", "b", "c")]
    for one, other in combinations(targets, 2):
        assert one.digest() != other.digest(), (one, other)


def test_the_limit_is_no_part_of_the_name() -> None:
    """A later limit takes the place of the one before."""
    assert Target(KINDS.SESSION_VERSION, "a", limit=1).digest() == Target(KINDS.SESSION_VERSION, "a", limit=2).digest()


def test_a_session_is_hit_by_everything_it_belongs_to() -> None:
    subject = subject_of(SESSION, "news")
    outright = [
        Target(KINDS.SESSION, "sid"),
        Target(KINDS.ACCOUNT, "account"),
        Target(KINDS.ACCOUNT, "account", "issuer"),
        Target(KINDS.DEVICE, "tv"),
        Target(KINDS.DEVICE, "tv", "issuer"),
        Target(KINDS.TOKEN, "jti"),
        Target(KINDS.TOKEN, "jti", "issuer"),
        Target(KINDS.ISSUER_KEY, "k1"),
        Target(KINDS.ISSUER_KEY, "k1", "issuer"),
        Target(KINDS.WATERMARK, "w"),
        Target(KINDS.STREAM, "news"),
        Target(KINDS.STREAM, "news", viewer="account"),
    ]
    assert set(subject.exact) == {target.digest() for target in outright}
    assert Target(KINDS.SESSION_VERSION, "sid").digest() in subject.versions
    assert Target(KINDS.SESSION_VERSION, "account", "issuer").digest() in subject.versions
    assert Target(KINDS.ISSUED_BEFORE, "", "issuer").digest() in subject.cutoffs
    assert (subject.version, subject.issued_at) == (3, 5)


_NAME = st.sampled_from(["", "a", "b"])
_BY_ISSUER = (KINDS.ACCOUNT, KINDS.DEVICE, KINDS.TOKEN, KINDS.ISSUER_KEY, KINDS.SESSION_VERSION, KINDS.ISSUED_BEFORE)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    kind = draw(st.sampled_from([kind for kind in KINDS if kind is not KINDS.NETWORK]))
    issuer = draw(_NAME) if kind in _BY_ISSUER else ""
    empty = kind is KINDS.ISSUED_BEFORE and issuer != ""
    value = draw(_NAME if empty else st.sampled_from(["a", "b"]))
    limit = draw(st.integers(0, 3)) if kind in (KINDS.SESSION_VERSION, KINDS.ISSUED_BEFORE) else 0
    return Target(kind, value, issuer, draw(_NAME) if kind is KINDS.STREAM else "", limit)


@settings(max_examples=500)
@given(
    targets(),
    st.builds(
        Session,
        *[st.sampled_from(["a", "b"])] * 3,
        st.just(0),
        token_id=_NAME,
        device=_NAME,
        key_id=_NAME,
        watermark=_NAME,
        issued_at=st.integers(0, 3),
        version=st.integers(0, 3),
    ),
    st.sampled_from(["a", "b"]),
)
def test_a_target_covers_what_its_digest_does(target: Target, session: Session, stream: str) -> None:
    revoked = RevocationSet()
    revoked.apply(target, Standing(1, True, 0.0, 10.0, target.limit), 1.0)
    assert target.covers(session, stream) == revoked.covers(subject_of(session, stream), 1.0)


def test_a_session_without_a_watermark_id_of_its_platform_has_one_of_its_own() -> None:
    mine, theirs = Session("sid", "account", "issuer", 1), Session("sid", "account", "other", 1)
    # BLAKE2b-64 of both names, each behind its length in 4 bytes.
    assert mine.watermark_id == "f5b9bd374e96073f"
    assert mine.watermark_id != theirs.watermark_id
    assert Target(KINDS.WATERMARK, mine.watermark_id).covers(mine, "news")
    assert Target(KINDS.WATERMARK, mine.watermark_id).digest() in subject_of(mine, "news").exact
    assert not Target(KINDS.WATERMARK, mine.watermark_id).covers(replace(mine, watermark="given"), "news")


def test_what_a_session_does_not_have_is_not_looked_up() -> None:
    subject = subject_of(Session("sid", "account", "issuer", 1), "news")
    assert len(subject.exact) == 6
    assert Target(KINDS.DEVICE, "").digest() not in subject.exact


def test_what_could_revoke_a_session_is_named_as_it_is_compared() -> None:
    for session in (SESSION, Session("sid", "account", "issuer", 1)):
        named = targets_of(session, "news")
        assert sorted(target.digest() for target in named) == sorted(set(subject_of(session, "news").all))
        # With the limits given each of them does, and with any lower one it would not.
        assert all(target.covers(session, "news") for target in named)
        assert not any(
            replace(target, limit=target.limit - 1).covers(session, "news") for target in named if target.limit
        )
