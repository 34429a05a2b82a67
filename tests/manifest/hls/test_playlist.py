import pytest

from relay.errors import ManifestError
from relay.manifest.hls import playlist
from relay.manifest.hls.playlist import Playlist, parse


def written(parsed: Playlist) -> bytes:
    return "".join(line.text + line.end for line in parsed.lines).encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U",
        b"#EXTM3U\n",
        b"#EXTM3U \t\r\n#EXTINF:6,caf\xe9\xff\r\n\r\n# comment\n  x.ts  \r\r\n\tlast",
        b"#EXTM3U\n\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8\n",
    ],
)
def test_lines_are_kept_byte_for_byte(data: bytes) -> None:
    assert written(parse(data)) == data


def test_a_byte_order_mark_goes() -> None:
    assert written(parse(b"\xef\xbb\xbf#EXTM3U\n")) == b"#EXTM3U\n"


def test_what_a_line_is() -> None:
    header, tag, bare, comment, blank, uri = parse(b"#EXTM3U\n #EXT-X-A:B=1:2\n#EXT-X-GAP\n#x.ts\n \n x.ts ").lines
    assert (header.name, tag.name, tag.value, bare.name) == ("EXTM3U", "EXT-X-A", "B=1:2", "EXT-X-GAP")
    assert (comment.name, comment.uri, blank.uri, uri.uri, uri.number) == ("", "", "", "x.ts", 6)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "first line is not #EXTM3U"),
        (b"\n#EXTM3U\n", "first line is not #EXTM3U"),
        (b"#EXTM3U8\n", "first line is not #EXTM3U"),
        (b"<html>", "first line is not #EXTM3U"),
        (b"#EXTM3U\n# a\rb\n", "line 2: carriage return"),
        (b"#EXTM3U\n#" + b"x" * playlist.MAX_LINE, "line 2: longer than"),
        (b"#EXTM3U" + b"\n" * playlist.MAX_LINES, "more than 200000 lines"),
        (b"#EXTM3U\n" + b" " * playlist.MAX_BYTES, "longer than 8388608 bytes"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        parse(data)


def test_variables_expand_in_uris_and_quoted_strings() -> None:
    parsed = parse(
        b'#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="1"\n#EXT-X-DEFINE:NAME="b",VALUE="{$a}2"\n'
        b'#EXT-X-T:U="{$b}",V={$b}\n# {$b}\nx/{$a}/{$b}\n#EXT-X-DEFINE:IMPORT="c"\n{$c}\n',
        {"c": "3"},
    )
    assert written(parsed) == b'#EXTM3U\n#EXT-X-T:U="12",V={$b}\n# {$b}\nx/1/12\n3\n'
    assert parsed.variables == {"a": "1", "b": "12", "c": "3"}


def test_without_definitions_nothing_is_a_reference() -> None:
    assert written(parse(b"#EXTM3U\n{$a}\n")) == b"#EXTM3U\n{$a}\n"


@pytest.mark.parametrize(
    ("define", "reason"),
    [
        ('QUERYPARAM="a"', "QUERYPARAM is not supported"),
        ('IMPORT="b"', "IMPORT names a variable"),
        ('VALUE="a"', "NAME is missing"),
        ('NAME="a b",VALUE="a"', "bad variable name"),
        ('NAME="a",VALUE="1"\n#EXT-X-DEFINE:NAME="a",VALUE="2"', "line 3: EXT-X-DEFINE: variable defined twice"),
        ('NAME="a",VALUE="1"\n{$b}', "line 3: variable is not defined"),
    ],
)
def test_bad_variables(define: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        parse(f"#EXTM3U\n#EXT-X-DEFINE:{define}\n".encode())


def test_variables_cannot_grow_without_end() -> None:
    lines = ['#EXT-X-DEFINE:NAME="v0",VALUE="0123456789"']
    lines += [f'#EXT-X-DEFINE:NAME="v{n}",VALUE="{f"{{$v{n - 1}}}" * 10}"' for n in range(1, 12)]
    with pytest.raises(ManifestError, match="variables expand to more than"):
        parse("\n".join(["#EXTM3U", *lines]).encode())


def test_many_uses_of_a_long_variable_are_bounded() -> None:
    define = '#EXT-X-DEFINE:NAME="v",VALUE="' + "x" * 60_000 + '"'
    with pytest.raises(ManifestError, match="more than the size limit"):
        parse("\n".join(["#EXTM3U", define, *["{$v}"] * 200]).encode())
    with pytest.raises(ManifestError, match="more than the size limit"):
        parse("\n".join(["#EXTM3U", define, "{$v}" * 10_000]).encode())
