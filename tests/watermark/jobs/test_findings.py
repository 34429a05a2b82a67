from math import isnan

import pytest
from msgspec import UNSET

from relay.watermark.jobs.findings import finding_of, result_of, scores_of, segment_s_of
from relay.watermark.jobs.result import MAX_SESSIONS, Status
from relay.watermark.serving.served import Interval
from tests.watermark.jobs.values import accusation, accused, asset_reading, reading, row, score

POSITIONS = (score(10), score(11, erased=True), score(12, -20.0), score(15))


def test_what_could_not_be_read_is_no_score() -> None:
    positions, z = scores_of(asset_reading(*POSITIONS))
    assert positions == [10, 11, 12, 15]
    assert [z[0], z[2], z[3]] == [20.0, -20.0, 20.0]
    assert isnan(z[1])
    assert segment_s_of(asset_reading(*POSITIONS)) == 2.0
    assert segment_s_of(asset_reading(score(3))) == 2.0


def test_a_session_is_told_with_the_time_of_what_the_copy_shows() -> None:
    rows = {
        7: [
            # Half of it is before the copy begins; another row of the same session comes from another node.
            row("s1", Interval(0, 20, 1000.0, 1040.0), Interval(30, 40, 2000.0, 2020.0)),
            row("s1", Interval(12, 15, 500.0, 506.0, exact=False), node="node-b"),
            row("s2", Interval(15, 15, 100.0, 100.0)),
            row("s3", Interval(12, 13, 50.0, 60.0, marked=False)),
            row("s4", Interval(-1, -1, 50.0, 60.0)),
        ]
    }
    finding = finding_of(asset_reading(*POSITIONS), accusation(accused(7)), rows, ["node-c"])
    (match,) = finding.matches
    assert (match.number, match.watermark_id, match.sessions_in_all) == ("0000000000000007", "wm-1", 2)
    assert (match.served_from, match.served_to) == (100.0, 1030.0)
    assert match.sessions is not UNSET
    second, first = match.sessions
    assert (first.session_id, first.account_id, first.nodes) == ("s1", "account-s1", ["node-a", "node-b"])
    assert [(one.first, one.last, one.since, one.until, one.exact) for one in first.positions] == [
        (12, 15, 500.0, 506.0, False),
        (10, 15, 1020.0, 1030.0, True),
    ]
    assert (second.session_id, second.served_from, second.served_to) == ("s2", 100.0, 100.0)
    assert (finding.complete, finding.missing_nodes) == (False, ["node-c"])
    where = finding.leak_range
    assert where is not None
    assert (where.start_s, where.end_s, where.speed, where.mirrored) == (10.0, 130.0, 1.0, True)


def test_a_watermark_of_many_sessions_is_told_with_some_of_them() -> None:
    rows = {7: [row(f"s{n}", Interval(10, 12, n, n + 4.0)) for n in range(MAX_SESSIONS + 5)]}
    (match,) = finding_of(asset_reading(*POSITIONS), accusation(accused(7)), rows, []).matches
    assert match.sessions is not UNSET
    assert (len(match.sessions), match.sessions_in_all) == (MAX_SESSIONS, MAX_SESSIONS + 5)
    assert (match.served_from, match.served_to) == (0.0, MAX_SESSIONS + 8.0)


@pytest.mark.parametrize(("asset", "status"), [("", Status.ASSET_NOT_FOUND), ("film", Status.REGISTRATION_FAILED)])
def test_a_copy_of_nothing(asset: str, status: Status) -> None:
    result = result_of(reading(), [], asset)
    assert (result.status, result.asset, result.matches, result.findings) == (status, asset, [], [result])
    assert (result.upload.unknown_s, result.upload.cut_short) == (3.0, True)


def test_no_viewer_is_named_to_those_who_may_not_read_of_them() -> None:
    rows = {7: [row("s1", Interval(10, 12, 0.0, 4.0))]}
    first, second = (
        finding_of(asset_reading(*POSITIONS, asset=name), accusation(accused(7)), rows, []) for name in ("film", "clip")
    )
    result = result_of(reading(), [first, second], "")
    assert result.names_sessions
    told = result.pseudonymous()
    assert [one.asset for one in told.findings] == ["film", "clip"]
    for finding in told.findings:
        (match,) = finding.matches
        assert (match.watermark_id, match.evidence_bits, match.sessions_in_all) == ("wm-1", 40.0, 1)
        assert match.sessions is UNSET
    assert result.matches[0].sessions is not UNSET
