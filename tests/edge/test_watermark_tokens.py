"""Streams whose variants are chosen by viewers' watermark tokens (ETSI TS 104 002)."""

import time
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import pytest

from relay.gate.dialects.keys import Signer
from relay.watermark.code import AssetCode, number_of
from relay.watermark.etsi.vendors import Vendor, VendorKey
from relay.watermark.etsi.wmt import Issue, mint_direct, mint_indirect
from tests.edge.film import CODE, COUNT, VARIANTS, Film, showing, variant_of

SECRET = bytes(range(32))
OURS, THEIRS, STRANGER = 7, 8, 9
VENDORS = [
    Vendor(number, (VendorKey.load("HS256", SECRET),), derives=number == OURS) for number in (OURS, THEIRS, STRANGER)
]
SIGNER = Signer("k1", "HS256", SECRET)


def issue(watermark_id: str, vendor: int = OURS, lifetime_s: int = 600) -> Issue:
    now = int(time.time())
    return Issue(vendor, 1000, now - 1, now + lifetime_s, watermark_id)


@pytest.fixture
async def film() -> AsyncIterator[Film]:
    """The film, its variants chosen by tokens of two of three vendors."""
    async with showing(VENDORS, tokens=[OURS, THEIRS]) as film:
        yield film


async def got(film: Film, urls: list[str], **headers: str) -> list[int]:
    found = []
    for url, pair in zip(urls, VARIANTS, strict=True):
        status, body, _ = await film.world.get(url, **headers)
        assert status == 200, body
        found.append(variant_of(body, url, "film", pair))
    return found


@pytest.mark.parametrize("watermark_id", ["00000000000000f1", "viewer 17"])
async def test_an_indirect_token_names_the_bits_of_our_code(film: Film, watermark_id: str) -> None:
    token = mint_indirect(issue(watermark_id), SIGNER)
    expected = [CODE.bit(number_of(watermark_id), 100 + number) for number in range(COUNT)]
    urls = await film.segments("s")
    assert await got(film, urls, Authorization=f"WMT {token}") == expected
    assert await got(film, [f"{url}&wmt={token}" for url in urls]) == expected
    assert await film.served() == {"s": [(100, 105, True)]}


@pytest.mark.parametrize("form", ["cwt", "jwt"])
async def test_a_direct_token_brings_its_bits(film: Film, form: str) -> None:
    theirs = AssetCode(bytes(32))
    token = mint_direct(issue("viewer", THEIRS), theirs, SIGNER, form=form)
    expected = [theirs.bit(number_of("viewer"), 100 + number) for number in range(COUNT)]
    assert await got(film, await film.segments("s"), Authorization=f"WMT {token}") == expected
    # When it was is known all the same; but bits that are none of our code's name nobody here.
    assert await film.served() == {"s": [(100, 105, False)]}


async def test_a_token_before_the_path_stays_there_by_itself(film: Film) -> None:
    token = mint_indirect(issue("viewer"), SIGNER)
    url = f"{film.world.edge}/wmt:{token}/watch/film/index.m3u8?token={film.world.token()}"
    async with film.world.client.get(url) as answer:
        assert answer.status == 200
        at, text = str(answer.url), await answer.text()
    assert f"/wmt:{token}/p/" in at
    playlist = urljoin(at, next(line for line in text.splitlines() if line.startswith("m/")))
    text = (await film.world.get(playlist))[1].decode()
    urls = [urljoin(playlist, line) for line in text.splitlines() if line and not line.startswith("#")]
    assert all(f"/wmt:{token}/p/" in url for url in urls)
    expected = [CODE.bit(number_of("viewer"), 100 + number) for number in range(COUNT)]
    assert await got(film, urls) == expected
    assert (await film.world.get(urljoin(at, "keys")))[0] == 200
    assert not any("wmt" in asked for asked in film.asked)


async def test_segments_are_refused_without_a_valid_token_and_nothing_else_is(film: Film) -> None:
    urls = await film.segments("s")
    good, other = mint_indirect(issue("viewer"), SIGNER), mint_indirect(issue("other"), SIGNER)
    tokens = {
        "": "none",
        "x" * 40: "no token",
        good[:-2]: "cut short",
        mint_indirect(issue("viewer", lifetime_s=-60), SIGNER): "expired",
        mint_indirect(issue("viewer"), Signer("k1", "HS256", bytes(32))): "of another key",
        mint_indirect(issue("viewer", THEIRS), SIGNER): "whose derivation nobody knows",
        mint_direct(issue("viewer", STRANGER), CODE, SIGNER): "of a vendor that is none of the stream's",
        mint_indirect(issue("viewer", 99), SIGNER): "of nobody",
    }
    for token, what in tokens.items():
        status, body, headers = await film.world.get(urls[0], **({"Authorization": f"WMT {token}"} if token else {}))
        assert (status, body, headers["Cache-Control"]) == (403, b"watermark_token\n", "no-store"), what
    status, _, _ = await film.world.get(f"{urls[0]}&wmt={good}", Authorization=f"WMT {other}")
    assert status == 403
    assert await film.served() == {}
    assert not any("/a/" in asked or "/b/" in asked for asked in film.asked)


async def test_revoking_the_watermark_id_of_a_token_ends_it(film: Film) -> None:
    urls = await film.segments("s")
    leaked, other = (f"WMT {mint_indirect(issue(name), SIGNER)}" for name in ("leaked", "other"))
    assert (await film.world.get(urls[0], Authorization=leaked))[0] == 200
    await film.world.revoke(watermark_id="leaked")
    status, body, _ = await film.world.get(urls[1], Authorization=leaked)
    assert (status, body) == (403, b"revoked\n")
    assert (await film.world.get(urls[1], Authorization=other))[0] == 200
