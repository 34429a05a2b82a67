"""Watermark variants in MPDs, in forms that the golden file does not have."""

import pytest
from lxml import etree

from relay.manifest.dash.variants import neutralise

WM = "http://dashif.org/guidelines/watermarking_"


def prop(scheme: str, value: str = "") -> str:
    return f'<EssentialProperty schemeIdUri="{scheme}" value="{value}"/>'


def neutral(inside: str, marked: bool = True) -> str:
    root = etree.fromstring(f"<MPD>{inside}</MPD>")
    neutralise(root, marked)
    return etree.tostring(root).decode().removeprefix("<MPD>").removesuffix("</MPD>")


def test_groups_are_told_apart_by_their_value() -> None:
    first, second = (
        "".join(f'<AdaptationSet id="{name}{one}">{prop(f"{WM}variant#{one}", name)}</AdaptationSet>' for one in "ab")
        for name in ("x", "y")
    )
    assert neutral(f"<Period>{first}{second}</Period>") == (
        '<Period><AdaptationSet id="xa"/><AdaptationSet id="ya"/></Period>'
    )


def test_each_period_has_its_own_groups() -> None:
    """An encoder that lost variant a for a while has what remains shown, rather than nothing."""
    periods = "".join(
        f'<Period><AdaptationSet id="{one}">{prop(f"{WM}variant#{one}", "x")}</AdaptationSet></Period>' for one in "ab"
    )
    assert neutral(periods) == periods.replace(prop(f"{WM}variant#a", "x"), "").replace(
        prop(f"{WM}variant#b", "x"), ""
    ).replace("></AdaptationSet>", "/>")


@pytest.mark.parametrize(
    ("listed", "shown"),
    [
        ("<BaseURL>a/film.mp4</BaseURL>", "<BaseURL>film.mp4</BaseURL>"),
        ("<BaseURL> v/a/film.mp4 </BaseURL>", "<BaseURL>v/film.mp4</BaseURL>"),
        ("<BaseURL>a/</BaseURL>", "<BaseURL>a/</BaseURL>"),
        (
            '<SegmentTemplate media="a/$Number$" initialization="a/i"/>',
            '<SegmentTemplate media="$Number$" initialization="a/i"/>',
        ),
        ('<SegmentList><SegmentURL media="a/1"/></SegmentList>', '<SegmentList><SegmentURL media="1"/></SegmentList>'),
        (
            '<SegmentList><SegmentURL mediaRange="0-9"/></SegmentList>',
            '<SegmentList><SegmentURL mediaRange="0-9"/></SegmentList>',
        ),
    ],
)
def test_addresses_lose_the_variant_where_one_is_chosen(listed: str, shown: str) -> None:
    inside = "<Period><AdaptationSet><Representation>{}</Representation></AdaptationSet></Period>"
    properties = prop(f"{WM}variant#a", "x") + prop(f"{WM}wmpaceinfo", "film_pace")
    assert neutral(inside.format(properties + listed)) == inside.format(shown)
    assert neutral(inside.format(properties + listed), marked=False) == inside.format(listed)


def test_other_properties_stay() -> None:
    inside = f"<Period><AdaptationSet>{prop('urn:mpeg:dash:role:2011', 'main')}</AdaptationSet></Period>"
    assert neutral(inside) == inside
