"""Watermark variants in MPDs, in forms that the golden file does not have."""

from lxml import etree

from relay.manifest.dash.variants import neutralise

WM = "http://dashif.org/guidelines/watermarking_"


def prop(scheme: str, value: str = "") -> str:
    return f'<EssentialProperty schemeIdUri="{scheme}" value="{value}"/>'


def neutral(inside: str) -> str:
    root = etree.fromstring(f"<MPD>{inside}</MPD>")
    neutralise(root)
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


def test_a_single_file_keeps_its_address() -> None:
    inside = '<BaseURL>a/film.mp4</BaseURL><SegmentBase indexRange="984-11244"/>'
    listed = f"{prop(f'{WM}variant#a', 'x')}{prop(f'{WM}wmpaceinfo', 'film_pace')}{inside}"
    assert neutral(f"<Period><AdaptationSet><Representation>{listed}</Representation></AdaptationSet></Period>") == (
        f"<Period><AdaptationSet><Representation>{inside}</Representation></AdaptationSet></Period>"
    )


def test_other_properties_stay() -> None:
    inside = f"<Period><AdaptationSet>{prop('urn:mpeg:dash:role:2011', 'main')}</AdaptationSet></Period>"
    assert neutral(inside) == inside
