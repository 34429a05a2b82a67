from pathlib import Path

import pytest
from msgspec.structs import replace

from relay.watermark.jobs.findings import result_of
from relay.watermark.jobs.job import Job, State
from relay.watermark.jobs.result import Pictures
from relay.watermark.jobs.spool import STALE_UPLOAD_S, Spool
from tests.watermark.jobs.values import asset_reading, job, reading

QUEUED = job(id="a" * 32, state=State.QUEUED, finished_at=None)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def put(spool: Spool, about: Job = QUEUED) -> None:
    with spool.receiving("upload") as (path, file):
        file.write(b"video")
        file.flush()
        spool.put(about, path)


def test_a_job_is_what_its_folder_says(spool: Spool, tmp_path: Path) -> None:
    put(spool, replace(QUEUED, id="b" * 32))
    put(spool)
    assert [one.id for one in spool.jobs()] == ["a" * 32, "b" * 32]
    again = Spool(tmp_path / "spool")
    assert again.find(QUEUED.id) == QUEUED
    assert again.upload(QUEUED).read_bytes() == b"video"
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    running = replace(QUEUED, state=State.RUNNING, share=0.25)
    assert again.save(running)
    assert spool.find(QUEUED.id) == running


def test_the_upload_goes_when_it_is_over_and_the_result_stays(spool: Spool) -> None:
    put(spool)
    (spool.work_folder(QUEUED) / "names").write_bytes(b"who it was")
    result, pictures = result_of(reading(), [], ""), [Pictures(asset="film", pictures=list(asset_reading().pictures))]
    assert spool.finish(replace(QUEUED, state=State.DONE), result, pictures)
    folder = spool.upload(QUEUED).parent
    assert sorted(one.name for one in folder.iterdir()) == ["job.json", "pictures", "result.json"]
    assert spool.result(QUEUED) == result
    assert spool.pictures(QUEUED) == pictures


def test_what_was_erased_stays_so(spool: Spool) -> None:
    put(spool)
    assert spool.erase(QUEUED.id)
    assert not spool.erase(QUEUED.id)
    assert not spool.save(QUEUED)
    assert not spool.finish(QUEUED, result_of(reading(), [], ""), [])
    assert (spool.find(QUEUED.id), spool.jobs(), spool.result(QUEUED), spool.pictures(QUEUED)) == (None, [], None, [])


def test_an_upload_that_became_no_job_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    def receive() -> None:
        with spool.receiving("upload") as (_, file):
            file.write(b"half of it")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        receive()
    assert list((tmp_path / "spool" / "uploads").iterdir()) == []


def test_what_a_process_left_behind_is_swept(spool: Spool, tmp_path: Path) -> None:
    left, fresh = (tmp_path / "spool" / "uploads" / name for name in ("left", "fresh"))
    for path in (left, fresh):
        path.write_bytes(b"half of it")
    (tmp_path / "spool" / "trash" / "x").mkdir()
    now = fresh.stat().st_mtime
    spool.sweep(now)
    assert left.exists()
    spool.sweep(now + STALE_UPLOAD_S + 1)
    assert not left.exists()
    assert list((tmp_path / "spool" / "trash").iterdir()) == []


def test_what_is_not_over_is_found_without_reading_the_rest(spool: Spool) -> None:
    later, sooner = replace(QUEUED, id="b" * 32), replace(QUEUED, id="a" * 32)
    put(spool, later)
    put(spool, sooner)
    assert (spool.next(), spool.count()) == (sooner, (2, 2))
    assert spool.finish(replace(sooner, state=State.FAILED))
    assert (spool.next(), spool.count()) == (later, (1, 2))
    assert spool.erase(later.id)
    assert (spool.next(), spool.count()) == (None, (0, 1))


def test_one_process_works_at_a_time(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path / "spool")
    with spool.locked() as alone, other.locked() as too:
        assert (alone, too) == (True, False)
    with other.locked() as now:
        assert now


def test_a_folder_that_cannot_be_read_is_none_of_the_jobs(spool: Spool) -> None:
    put(spool)
    (spool.upload(QUEUED).parent / "job.json").write_bytes(b"{")
    assert spool.jobs() == []
