import pytest

from relay.errors import ManifestError, UnsupportedMediaError
from relay.manifest.dash.template import Template, expand


@pytest.mark.parametrize(
    ("text", "uri", "identifier"),
    [
        ("seg.m4s", "seg.m4s", None),
        ("$RepresentationID$/$Number$.m4s", "v1/(number).m4s", "$Number$"),
        ("$Bandwidth$/$Number%05d$.m4s", "800/(number:05).m4s", "$Number$"),
        ("$Bandwidth%06d$/$Time$", "000800/(time)", "$Time$"),
        ("$Time%012d$", "(time:012)", "$Time$"),
        ("a$$b$Number$/$Number$?x=$Number$", "a$b(number)/(number)?x=(number)", "$Number$"),
        ("$$Number$$", "$Number$", None),
        ("video(1)/$Number$", "video(1)/(number)", "$Number$"),
        ("$Number$(number:2)", "(number)(number:2)", "$Number$"),
    ],
)
def test_identifiers(text: str, uri: str, identifier: str | None) -> None:
    assert expand(text, "v1", 800) == Template(uri, identifier)


@pytest.mark.parametrize(
    "text",
    ["$", "$number$", "$Number", "$Foo$", "$Number%5d$", "$Number%0x$", "$Number$$", "$Number%099d$", "$Number$$Time$"],
)
def test_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        expand(text, "v1", 800)


@pytest.mark.parametrize("text", ["x(number)", "(time:05)", "$Number$(number:02)"])
def test_texts_that_look_like_the_relays_placeholders_are_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="reserves"):
        expand(text, "v1", 800)


def test_what_a_representation_lacks() -> None:
    with pytest.raises(ManifestError, match="Bandwidth"):
        expand("$Bandwidth$", "v1", None)
    with pytest.raises(ManifestError, match="reserves"):
        expand("$RepresentationID$", "(number)", 1)
    with pytest.raises(ManifestError, match="reserves"):
        expand("$Number$/($RepresentationID$)", "time", 1)
    with pytest.raises(ManifestError, match="reserves"):
        expand("$Number$/(time:0$Bandwidth$)", "v1", 8)


def test_sub_numbers_are_unsupported() -> None:
    with pytest.raises(UnsupportedMediaError):
        expand("$Number$_$SubNumber$", "v1", 1)
