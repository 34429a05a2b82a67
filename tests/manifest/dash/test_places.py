"""Every other place where a URL can hide."""

import pytest
from lxml import etree

from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.dash.rewrite import rewrite_mpd
from tests.manifest.dash.world import MPD_AT, NS, START_MS, live
from tests.manifest.hls.world import CENC, CENC_PERIOD, HOST, context

ORIGIN = f"https://{HOST}/live/secret"
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def rewritten(*, root: str = "", period: str = "", adaptation_set: str = "") -> str:
    data = live(1, 5, extra=period).decode()
    data = data.replace("<Period ", f"{root}<Period ", 1)
    data = data.replace("<Representation ", f"{adaptation_set}<Representation ", 1)
    bodies = [
        rewrite_mpd(data.encode(), context(cls), MPD_AT, "index.mpd", START_MS).body for cls in (CENC, CENC_PERIOD)
    ]
    assert all(HOST.encode() not in body for body in bodies)
    return bodies[0].decode()


@pytest.mark.parametrize(
    "element",
    [
        f"<Location>{ORIGIN}</Location>",
        "<Location>relative.mpd</Location>",
        f'<PatchLocation ttl="60">{ORIGIN}</PatchLocation>',
        f'<ContentSteering proxyServerURL="{ORIGIN}">{ORIGIN}</ContentSteering>',
        f'<Metrics metrics="x"><Reporting schemeIdUri="urn:dvb:dash:reporting:2014" url="{ORIGIN}"/></Metrics>',
        f'<InitializationSet id="1" initialization="{ORIGIN}"/>',
        f'<SupplementalProperty xmlns:dvb="urn:dvb:dash:dash-extensions:2014-1" dvb:url="{ORIGIN}"/>',
        ('<SupplementalProperty schemeIdUri="urn:mpeg:dash:urlparam:2014"><up:UrlQueryInfo'
        ' xmlns:up="urn:mpeg:dash:schema:urlparam:2014" queryTemplate="$querypart$"/></SupplementalProperty>'),
        f"<!-- {ORIGIN} -->",
        f'<?xml-stylesheet href="{ORIGIN}"?>',
    ],
)  # fmt: skip
def test_what_would_lead_around_the_relay_is_dropped(element: str) -> None:
    found = rewritten(root=element)
    assert "relative.mpd" not in found
    assert etree.fromstring(found.encode())[0].tag == f"{NS}Period"


def test_attributes_with_addresses_are_dropped_and_the_rest_stays() -> None:
    found = rewritten(
        root=f'<ProgramInformation moreInformationURL="{ORIGIN}"><Title>News</Title></ProgramInformation>'
    )
    assert "<ProgramInformation><Title>News</Title></ProgramInformation>" in found


def test_query_parameters_that_players_must_add_are_unsupported() -> None:
    with pytest.raises(UnsupportedMediaError, match="URL parameters"):
        rewritten(root='<EssentialProperty schemeIdUri="urn:mpeg:dash:urlparam:2014"/>')


def test_xlinks() -> None:
    zero = f'<EventStream {XLINK} xlink:href="urn:mpeg:dash:resolve-to-zero:2013"><Event/></EventStream>'
    remote = f'<EventStream {XLINK} schemeIdUri="urn:x" xlink:href="{ORIGIN}" xlink:actuate="onLoad"/>'
    default = f'<EventStream {XLINK} schemeIdUri="urn:kept" xlink:href="{ORIGIN}"><Event/></EventStream>'
    found = rewritten(period=zero + remote + default)
    assert found.count("<EventStream") == 1
    assert "xlink:" not in found.replace("xmlns:xlink", "")
    assert "urn:kept" in found


def test_callback_events_and_payloads_with_origin_addresses_are_dropped() -> None:
    events = (
        f'<EventStream schemeIdUri="urn:mpeg:dash:event:callback:2015"><Event>{ORIGIN}</Event></EventStream>'
        f'<EventStream schemeIdUri="urn:scte"><Event id="1"><a:Signal xmlns:a="urn:a" href="{ORIGIN}"/></Event>'
        f'<Event id="2" messageData="{HOST}/x"/><Event id="3" presentationTime="3">AAAA</Event></EventStream>'
    )
    stream = '<InbandEventStream schemeIdUri="{}"/>'
    inband = stream.format("urn:mpeg:dash:event:callback:2015") + stream.format("urn:kept")
    found = rewritten(period=events, adaptation_set=inband)
    assert "callback" not in found
    assert '<InbandEventStream schemeIdUri="urn:kept"/>' in found
    assert '<Event id="3" presentationTime="3">AAAA</Event>' in found
    assert 'id="1"><a:Signal' not in found
    assert found.count("<Event ") == 1


def test_what_events_say_is_not_touched() -> None:
    message = (
        '<Event id="1"><x:Ad xmlns:x="urn:x"><x:BaseURL>https://ads.example/</x:BaseURL><x:Location>Oslo</x:Location>'
        f'<x:See {XLINK} xlink:href="https://ads.example/"/></x:Ad></Event>'
    )
    assert message in rewritten(period=f'<EventStream schemeIdUri="urn:x">{message}</EventStream>')


def test_clocks() -> None:
    timing = '<UTCTiming schemeIdUri="urn:mpeg:dash:utc:{}:2014" value="{}"/>'
    kept = [timing.format("direct", "2023-11-14T22:13:20Z"), timing.format("ntp", "pool.example"),
            timing.format("http-iso", "https://time.example/now")]  # fmt: skip
    dropped = [timing.format("http-head", ORIGIN), timing.format("http-iso", "/time")]
    found = rewritten(root="".join(kept + dropped))
    assert all(element in found for element in kept)
    assert timing.format("direct", "2023-11-14T22:13:20.000Z") in found
    assert found.count("<UTCTiming") == 4


@pytest.mark.parametrize(
    "leak",
    [
        f'<EssentialProperty schemeIdUri="urn:x" value="{ORIGIN}"/>',
        f'<x:Unknown xmlns:x="urn:x">HTTP://{HOST.upper()}</x:Unknown>',
        f'<x:Address xmlns:x="urn:x">//user:word@{HOST}:8443/</x:Address>',
        f'<SupplementalProperty schemeIdUri="https://backup.{HOST}/"/>',
    ],
)
def test_an_origin_address_anywhere_else_is_refused(leak: str) -> None:
    data = live(1, 5).replace(b"<Period ", leak.encode() + b"<Period ", 1)
    with pytest.raises(ManifestError, match="origin's address"):
        rewrite_mpd(data, context(), MPD_AT, "index.mpd", START_MS)


def test_hosts_that_only_begin_alike_are_no_leak() -> None:
    other = f'<SupplementalProperty schemeIdUri="urn:x" value="https://{HOST}.org/"/>'
    data = live(1, 5).replace(b"<Period ", other.encode() + b"<Period ", 1)
    assert other in rewrite_mpd(data, context(), MPD_AT, "index.mpd", START_MS).body.decode()


def test_what_is_unknown_survives() -> None:
    extra = '<x:Thing xmlns:x="urn:x" x:a="1"><x:Inner>text</x:Inner></x:Thing>'
    found = rewritten(root=extra, period=extra, adaptation_set=extra)
    assert found.count(extra) == 3
