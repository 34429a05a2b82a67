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


def calls(document: str) -> list[tuple[str, str, str, dict[str, str]]]:
    """The curl commands of a document: method, path, body, headers."""
    found = []
    for fence in re.findall(r"^```\w*\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL):
        for command in re.findall(r"^curl (?:'[^']*'|\"[^\"]*\"|\\\n|[^\n'\"])*", fence, re.MULTILINE):
            if "/watermark/analy" in command:  # what takes a recording is in tests/e2e/test_leak.py
                continue
            words = iter(shlex.split(command)[1:])
            method, path, body, headers = "GET", "", "", {"Content-Type": FORM}
            for word in words:
                match word:
                    case "-X":
                        method = next(words)
                    case "-d":
                        method, body = method if method != "GET" else "POST", next(words)
                    case "-H":
                        name, _, value = next(words).partition(": ")
                        headers[name] = value
                    case _:
                        path = re.sub(r"^(\$CONTROL|http://[^/]+)", "", word)
            headers.pop("$AUTH", None)
            found.append((method, path, body, {**headers, "Authorization": f"Bearer {API_KEY}"}))
    return found


@pytest.mark.parametrize(("document", "number"), [("README.md", 7), ("docs/operations.md", 7)])
async def test_calls_that_readers_are_shown_work(document: str, number: int) -> None:
    told = calls(document)
    assert len(told) == number
    async with open_studio() as studio:
        streams = {name: studio.stream("dated") for name in ("demo", "channel-one")}
        async with open_desk(streams=streams) as desk:
            for method, path, body, headers in told:
                named = {name.replace("-", "_"): value for name, value in headers.items()}
                status, answer, _ = await desk.call(method, path, body.encode(), **named)
                assert status in (200, 201), (path, answer)
