"""What the documents tell readers to call is called, as curl would, against a node."""

import re
import shlex
from pathlib import Path

import pytest

from tests.control.desk import API_KEY, open_desk
from tests.control.studio import open_studio

ROOT = Path(__file__).parent.parent
FORM = "application/x-www-form-urlencoded"
"""What curl says of a body unless it is told otherwise."""
VIDEO = "\0\0\0\x20ftypisom"
"""What files begin with that readers upload."""


def calls(document: str) -> list[tuple[str, str, str, dict[str, str]]]:
    """The curl commands of a document: method, path, body, headers."""
    found = []
    for fence in re.findall(r"^```\w*\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL):
        for command in re.findall(r"^curl (?:'[^']*'|\"[^\"]*\"|\\\n|[^\n'\"])*", fence, re.MULTILINE):
            words = iter(shlex.split(command)[1:])
            method, path, body, headers = "GET", "", "", {"Content-Type": FORM}
            parts = ""
            for word in words:
                match word:
                    case "-X":
                        method = next(words)
                    case "-d":
                        method, body = method if method != "GET" else "POST", next(words)
                    case "-F":
                        member, _, text = next(words).partition("=")
                        about = f'name="{member}"' + ('; filename="leak.mp4"' if text.startswith("@") else "")
                        text = VIDEO if text.startswith("@") else text
                        parts += f"--x\r\nContent-Disposition: form-data; {about}\r\n\r\n{text}\r\n"
                    case "-H":
                        name, _, value = next(words).partition(": ")
                        headers[name] = value
                    case _:
                        path = re.sub(r"^(\$CONTROL|http://[^/]+)", "", word)
            headers.pop("$AUTH", None)
            if parts:
                method, body, headers["Content-Type"] = "POST", f"{parts}--x--\r\n", "multipart/form-data; boundary=x"
            found.append((method, path, body, {**headers, "Authorization": f"Bearer {API_KEY}"}))
    return found


@pytest.mark.parametrize(("document", "number"), [("README.md", 8), ("docs/operations.md", 8)])
async def test_calls_that_readers_are_shown_work(document: str, number: int, tmp_path: Path) -> None:
    told = calls(document)
    assert len(told) == number
    async with open_studio() as studio:
        streams = {name: studio.stream("dated") for name in ("demo", "channel-one")}
        (tmp_path / "film").mkdir()
        (tmp_path / "film" / "index.json").write_text('{"asset": "film"}')
        settings = {"watermark": {"analysis": {"assets": str(tmp_path)}}}
        async with open_desk(streams=streams, settings=settings) as desk:
            for method, path, body, headers in told:
                named = {name.replace("-", "_"): value for name, value in headers.items()}
                status, answer, _ = await desk.call(method, path, body.encode(), **named)
                assert status in (200, 201, 202), (path, answer)
