"""Analyses on disk: a folder for each, which is all that is known of it, so that any process of a machine can tell.

A job's folder comes into being whole, and is gone at once; what is in there is replaced, never changed. One process at
a time works: the one with the lock, which the kernel takes back from one that dies. Its functions wait for the disk.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from relay.watermark.jobs.job import Job
from relay.watermark.jobs.result import AnalysisResult, Pictures

STALE_UPLOAD_S = 3600.0
"""An upload into which nothing has come for so long is nobody's any more."""
_JOB, _UPLOAD, _RESULT, _PICTURES, _WORK = "job.json", "upload", "result.json", "pictures", "work"


_jobs = msgspec.json.Decoder(Job)
_results = msgspec.json.Decoder(AnalysisResult)
_pictures = msgspec.msgpack.Decoder(list[Pictures])


class Spool:
    """The folder of all jobs. ``root``, an absolute path, is made where it is not there, for this user's eyes alone."""

    def __init__(self, root: Path) -> None:
        self._uploads, self._folders, self._trash = root / "uploads", root / "jobs", root / "trash"
        # An empty file for each job that is not over, so that whoever looks for work need not read all.
        self._open = root / "open"
        self._lock = root / "lock"
        for folder in (root, self._uploads, self._folders, self._trash, self._open):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Be the one process that works, for the length of a block; False where another is."""
        with self._lock.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextmanager
    def receiving(self, name: str) -> Iterator[tuple[Path, BinaryIO]]:
        """A file for an upload; it is gone after the block, unless a job was made of it."""
        path = self._uploads / name
        try:
            with path.open("xb") as file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)

    def put(self, job: Job, upload: Path) -> None:
        """Make a job of an upload."""
        made = self._uploads / f"{job.id}.job"
        made.mkdir(mode=0o700)
        (made / _JOB).write_bytes(msgspec.json.encode(job))
        upload.rename(made / _UPLOAD)
        (self._open / job.id).touch()
        made.rename(self._folders / job.id)

    def jobs(self) -> list[Job]:
        """All of them, the oldest first."""
        return [job for name in sorted(one.name for one in self._folders.iterdir()) if (job := self.find(name))]

    def next(self) -> Job | None:
        """The oldest job that is not over."""
        for name in sorted(one.name for one in self._open.iterdir()):
            job = self.find(name)
            if job and not job.is_over:
                return job
        return None

    def count(self) -> tuple[int, int]:
        """How many jobs are not over, and how many there are."""
        return sum(1 for _ in self._open.iterdir()), sum(1 for _ in self._folders.iterdir())

    def find(self, name: str) -> Job | None:
        """The job of that id, if there is one that can be read."""
        try:
            return _jobs.decode((self._folders / name / _JOB).read_bytes())
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return None

    def upload(self, job: Job) -> Path:
        """What is to be analysed."""
        return self._folders / job.id / _UPLOAD

    def work_folder(self, job: Job) -> Path:
        """An empty folder for what is needed meanwhile."""
        folder = self._folders / job.id / _WORK
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def save(self, job: Job) -> bool:
        """Replace what is known of a job; False where it was erased meanwhile."""
        return self._write(job, _JOB, msgspec.json.encode(job))

    def finish(self, job: Job, result: AnalysisResult | None = None, pictures: list[Pictures] | None = None) -> bool:
        """Replace what is known of a job that is over, and erase its upload; False where it was erased meanwhile."""
        if result is not None:
            self._write(job, _RESULT, msgspec.json.encode(result))
            self._write(job, _PICTURES, msgspec.msgpack.encode(pictures or []))
        shutil.rmtree(self._folders / job.id / _WORK, ignore_errors=True)
        self.upload(job).unlink(missing_ok=True)
        saved = self.save(job)
        (self._open / job.id).unlink(missing_ok=True)
        return saved

    def result(self, job: Job) -> AnalysisResult | None:
        """What came of it."""
        try:
            return _results.decode((self._folders / job.id / _RESULT).read_bytes())
        except FileNotFoundError:
            return None

    def pictures(self, job: Job) -> list[Pictures]:
        """The alignment pictures, asset by asset."""
        try:
            return _pictures.decode((self._folders / job.id / _PICTURES).read_bytes())
        except FileNotFoundError:
            return []

    def erase(self, name: str) -> bool:
        """Erase all of a job; False where there is none."""
        try:
            (self._folders / name).rename(self._trash / name)
        except FileNotFoundError:
            return False
        (self._open / name).unlink(missing_ok=True)
        shutil.rmtree(self._trash / name, ignore_errors=True)
        return True

    def sweep(self, now: float) -> None:
        """Erase what was left behind: uploads that broke off with their process, what could not be erased before."""
        for left in self._trash.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        for left in (*self._uploads.iterdir(), *(one for one in self._open.iterdir() if self._is_done(one.name))):
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < now - STALE_UPLOAD_S:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    def room(self) -> int:
        """Bytes that the disk has left."""
        return shutil.disk_usage(self._folders).free

    def _is_done(self, name: str) -> bool:
        job = self.find(name)
        return job is None or job.is_over

    def _write(self, job: Job, name: str, data: bytes) -> bool:
        folder = self._folders / job.id
        try:
            (folder / f"{name}.new").write_bytes(data)
            (folder / f"{name}.new").replace(folder / name)
        except FileNotFoundError:
            return False
        return True
