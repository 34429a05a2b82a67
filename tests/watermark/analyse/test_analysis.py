import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.watermark_attacks import ATTACKS, Attack, Lens, apply, filmed, kbit, x264
from relay.watermark.analyse.analysis import analyse
from relay.watermark.analyse.asset import Asset
from relay.watermark.analyse.follow import Aligned, Follower, Originals
from relay.watermark.analyse.limits import Limits
from relay.watermark.analyse.reading import AssetReading, Reading
from relay.watermark.analyse.warp import Warp
from tests.watermark.analyse import film
from tests.watermark.analyse.conftest import Film

# The attacks' own rates are for 1280 x 720; these are as hard on 640 x 360.
SMALL = {
    "low_rate": Attack(encode=x264(*kbit(200))),
    "quarter": Attack("scale=320:180"),
    "gamma1.6_fps30": Attack("eq=gamma=1.6,fps=30"),
    "hand": replace(ATTACKS["camrip"], camera=filmed(Lens(size=(640, 360), strength=0.5, travel=30.0))),
}


def read(path: Path, assets: Sequence[Asset], key: bytes = film.KEY, attempts: int = 16) -> Reading:
    # Each attempt costs a third of a second.
    limits = Limits(attempts=attempts)
    return analyse(io.BytesIO(path.read_bytes()), assets, lambda _: key, limits, lambda _step, _done: None)


def wrong_bits(found: AssetReading, bits: list[int]) -> int:
    return sum((one.z < 0) != bits[one.position] for one in found.positions if not one.erased)


@pytest.mark.parametrize("name", ["crop20", "gamma1.6_fps30", "low_rate", "quarter", "hand"])
def test_every_bit_survives(film_of_four: Film, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy.mp4"
    apply(SMALL.get(name) or ATTACKS[name], film_of_four.received, copy)
    reading = read(copy, [film_of_four.other, film_of_four.asset])
    (found,) = reading.assets
    assert found.asset == "film"
    assert [one.position for one in found.positions if not one.erased] == [0, 1, 2, 3]
    assert wrong_bits(found, film_of_four.bits) == 0
    assert found.median_z > 6
    assert found.control_rms == pytest.approx(1, abs=0.1)


def test_a_mirrored_crop_at_another_speed_is_told(film_of_four: Film, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    apply(Attack("hflip,crop=iw*0.8:ih*0.8:iw*0.1:ih*0.1,setpts=PTS*24/25,fps=25"), film_of_four.received, copy)
    reading = read(copy, [film_of_four.asset])
    (found,) = reading.assets
    assert wrong_bits(found, film_of_four.bits) == 0
    assert found.geometry.mirrored
    assert found.geometry.visible == pytest.approx(0.64, abs=0.03)
    (run,) = found.runs
    assert run.speed == pytest.approx(25 / 24, abs=0.01)
    assert run.asset_start_s == pytest.approx(run.leak_start_s * 25 / 24, abs=0.1)


def test_an_unmarked_copy_says_nothing(film_of_four: Film) -> None:
    (found,) = read(film_of_four.unmarked, [film_of_four.asset]).assets
    assert len(found.positions) == 4
    assert np.sqrt(np.mean([one.z**2 for one in found.positions])) < 2
    assert found.control_rms == pytest.approx(1, abs=0.1)


@pytest.fixture(scope="module")
def found_with_wrong_key(film_of_four: Film) -> AssetReading:
    (found,) = read(film_of_four.received, [film_of_four.asset], b"w" * 32).assets
    return found


def test_a_wrong_key_says_nothing(found_with_wrong_key: AssetReading) -> None:
    found = found_with_wrong_key
    assert np.sqrt(np.mean([one.z**2 for one in found.positions])) < 2
    assert found.control_rms == pytest.approx(1, abs=0.1)


def test_another_film_is_refused(film_of_four: Film) -> None:
    reading = read(film_of_four.received, [film_of_four.other], attempts=3)
    assert reading.assets == ()
    assert reading.unknown_s == pytest.approx(reading.duration_s, abs=0.1)


def test_passages_in_another_order_with_something_between(film_of_four: Film, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    film.write(copy, chain(film_of_four.passage(2, 4), film.scenes(9, 2), film_of_four.passage(0, 2)))
    reading = read(copy, [film_of_four.asset], attempts=8)
    (found,) = reading.assets
    assert wrong_bits(found, film_of_four.bits) == 0
    assert [one.position for one in found.positions if not one.erased] == [0, 1, 2, 3]
    assert [round(run.asset_start_s) for run in found.runs] == [4, 0]
    assert [round(run.leak_start_s) for run in found.runs] == [0, 8]
    assert reading.unknown_s == pytest.approx(4, abs=1.5)


def test_positions_shown_twice_add_up(film_of_four: Film, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    film.write(copy, chain(film_of_four.passage(1, 3), film_of_four.passage(1, 3)))
    (found,) = read(copy, [film_of_four.asset]).assets
    assert [one.position for one in found.positions] == [1, 2]
    assert all(one.frames > 6 for one in found.positions)
    assert [round(run.asset_start_s) for run in found.runs] == [2, 2]
    assert wrong_bits(found, film_of_four.bits) == 0


def test_what_cannot_be_aligned_is_read_between_what_can(film_of_four: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = film_of_four.asset
    unseen_s = asset.segments[2].start_s
    given = Follower._aligned

    def blind(self: Follower, originals: Originals, number: int, kept: int, warp: Warp) -> Aligned | None:
        time = self._leak.kept[kept]
        return None if unseen_s <= time < unseen_s + 2 else given(self, originals, number, kept, warp)

    monkeypatch.setattr(Follower, "_aligned", blind)
    (found,) = read(film_of_four.received, [asset]).assets
    assert [one.position for one in found.positions if not one.erased] == [0, 1, 2, 3]
    assert wrong_bits(found, film_of_four.bits) == 0
    assert abs(found.positions[2].z) > 6
    (run,) = found.runs
    assert run.speed == 1.0


def test_pictures_show_the_copy_laid_over(found_with_wrong_key: AssetReading) -> None:
    found = found_with_wrong_key
    assert 1 <= len(found.pictures) <= 3
    sheet = cv2.imdecode(np.frombuffer(found.pictures[0].jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    original, laid_over = sheet[:270, :480].astype(float), sheet[270:, :480].astype(float)
    assert np.abs(original - laid_over)[5:-5, 5:-5].mean() < 4
