from pathlib import Path

from relay.watermark.code import AssetCode, number_of
from relay.watermark.jobs.accusing import INTERVAL, accused, candidates_in
from relay.watermark.jobs.findings import scores_of
from relay.watermark.jobs.gathered import INTERVAL as WRITTEN
from relay.watermark.jobs.gathered import Gathered
from relay.watermark.jobs.messages import Accuse, Limits
from relay.watermark.jobs.result import Status
from relay.watermark.serving.served import Interval
from tests.watermark.jobs.values import asset_reading, row, score

KEY = bytes(range(32))


def order(intervals: Path, z: list[float]) -> Accuse:
    return Accuse(
        limits=Limits(1 << 30, 1 << 20, 60),
        intervals=str(intervals),
        code_key=KEY,
        colluders=2,
        positions=list(range(len(z))),
        z=z,
        segment_s=2.0,
        hypotheses=1,
        false_accusation=1e-6,
    )


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    assert WRITTEN.size == INTERVAL.itemsize
    with Gathered(tmp_path) as gathered:
        gathered.add(
            [
                row("s1", Interval(5, 9, 0.0, 1.0), Interval(0, 2, 3.0, 4.0), watermark_id="00000000000000ff"),
                row("s2", Interval(3, 4, 0.0, 1.0), watermark_id="0000000000000001"),
                # With the number of the first, and two things that tell nothing.
                row("s3", Interval(7, 12, 0.0, 1.0), watermark_id="00000000000000ff"),
                row("s4", Interval(3, 4, 0.0, 1.0, marked=False), watermark_id="0000000000000002"),
                row("s5", Interval(-1, -1, 0.0, 1.0), watermark_id="0000000000000003"),
            ]
        )
        gathered.done()
        numbers, served = candidates_in(gathered.intervals)
        assert numbers.tolist() == [1, 0xFF]
        assert served.rows.tolist() == [0, 1, 1, 1]
        assert list(zip(served.first.tolist(), served.last.tolist(), strict=True)) == [(3, 4), (5, 9), (0, 2), (7, 12)]
        named = gathered.rows_of(frozenset({0xFF, 99}))
        assert [one.sid for one in named[0xFF]] == ["s1", "s3"]
        assert named[99] == []


def test_the_one_is_found_among_others_by_number(tmp_path: Path) -> None:
    code, guilty = AssetCode(KEY), number_of("wm-7")
    z = [12.0 * (1 - 2 * code.bit(guilty, position)) for position in range(40)]
    z[3] = -z[3]
    z[5] = float("nan")
    with Gathered(tmp_path) as gathered:
        gathered.add(row(f"s{n}", Interval(0, 40, 0.0, 80.0), watermark_id=f"wm-{n}") for n in range(30))
        gathered.done()
    told: list[str] = []
    found = accused(order(gathered.intervals, z), lambda step, _: told.append(step)).accusation
    assert (found.status, found.candidates, found.segments_erased, told) == (Status.IDENTIFIED, 30, 1, ["accuse"])
    (one,) = found.accused
    assert (one.number, one.segments_agreeing, one.segments_compared) == (guilty, 38, 39)
    assert one.false_accusation_bound < 1e-6


def test_nobody_was_served_it(tmp_path: Path) -> None:
    with Gathered(tmp_path) as gathered:
        gathered.done()
    positions, z = scores_of(asset_reading(*(score(position) for position in range(20))))
    found = accused(order(gathered.intervals, z), lambda _step, _share: None).accusation
    assert (found.status, found.candidates, found.accused, len(positions)) == (Status.INSUFFICIENT_EVIDENCE, 0, [], 20)
